"""Personal data on the way in and on the way out: what the policy makes of it, and who may see it as it was said.

In: find (`privacy`) → treat, with the person's vault → the vault's new entries are written → the messages may be. Out:
what stands under pseudonyms is given back in clear to those who have the right, and as it stands to a model.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from typing import Any, NamedTuple

from securemem import codec
from securemem.crypto.pae import pae
from securemem.errors import AccessDeniedError, ConflictError
from securemem.keys.rows import Person
from securemem.ledger.classes import NOTHING
from securemem.lives import Label, Lives
from securemem.model import Message
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.privacy import reveal
from securemem.privacy.privacy import Found, Privacy
from securemem.privacy.vault import Vault
from securemem.sealing import Prepared
from securemem.vaults import Vaults
from securemem.writer import Writer

_TRIES = 10
_MARK_BYTES = 3
_SEEN = 64
"""Of how many messages it is kept what was found in them, at most."""


class _Job(NamedTuple):
    """A message to be treated: what was found in it, its retention class, and the treatments that rules have for it."""

    found: Found
    kind: int
    otherwise: Mapping[str, str]


class Seen:
    """What was found in messages that are prepared a second time: a preview's, when they are appended."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._found: list[tuple[Message, Found]] = []

    def recall(self, message: Message) -> Found | None:
        """Give what was found in a message, this very object."""
        for given, found in self._found:
            if given is message:
                return found
        return None

    def keep(self, message: Message, found: Found) -> None:
        """Keep it."""
        self._found = [*self._found[1 - _SEEN :], (message, found)]


class Treating:
    """Treats the messages of one store by its policy."""

    def __init__(
        self,
        policy: Policy,
        privacy: Privacy | None,
        *,
        vaults: Vaults,
        writer: Writer,
        lives: Lives,
        clock: Clock,
        keyed_hash: Callable[[bytes], bytes],
        log: Callable[[str, str | None], Awaitable[None]],
    ) -> None:
        """Take what it works with.

        Args:
            policy: in force.
            privacy: its engines and treatments; None where it has none.
            vaults: of the store.
            writer: prepares messages.
            lives: says what a rule asks for.
            clock: the store's.
            keyed_hash: the tenant's.
            log: takes down, before anything is given, whose pseudonyms were revealed to which actor.
        """
        self._policy = policy
        self._privacy = privacy
        self._vaults = vaults
        self._writer = writer
        self._lives = lives
        self._clock = clock
        self._keyed_hash = keyed_hash
        self._log = log
        self._nobodys = Vault()

    # In

    def prepare_plain(self, messages: Sequence[Message], *, owner: str, ttl: float | None) -> list[Prepared] | None:
        """Prepare messages of which nothing has to be found out, as `prepare`; None where something has.

        Args:
            messages: in order, of a session and a writer that say nothing of them.
            owner: the session's owner.
            ttl: the call's own, in seconds.
        """
        if self._privacy is not None:
            return None
        for message in messages:
            if message.metadata:
                return None
        return self._writer.prepare(messages, owner=owner, ttl=ttl, kinds=[NOTHING] * len(messages))

    async def prepare(
        self,
        messages: Sequence[Message],
        *,
        owner: str,
        people: dict[str, Person],
        ttl: float | None,
        label: Label,
        seen: Seen | None = None,
    ) -> list[Prepared]:
        """Check, treat and encode messages, and keep what their pseudonyms stand for.

        Args:
            messages: in order.
            owner: the session's owner, and
            people: who each of their people has to be still, by id, so that nothing is kept of who was forgotten; those
                whose pseudonyms are kept are added, so that these stand in nobody else's messages.
            ttl: the call's own, in seconds.
            label: what their session and their writer say of them.
            seen: where what is found in messages is kept for when these are prepared again; None if they are not.

        Raises:
            InvalidInputError: one of them cannot be stored.
            DetectionError: an engine failed.
            PIIBlockedError: the policy refuses one of them.
            UserErasedError: the owner was forgotten.
        """
        privacy, says_something = self._privacy, label.says_something
        if privacy is None:
            kinds = [NOTHING] * len(messages)
            for place, message in enumerate(messages):
                if says_something or message.metadata:
                    kinds[place] = await self._kind(message, (), label)
            return self._writer.prepare(messages, owner=owner, ttl=ttl, kinds=kinds)
        found = await _find(privacy, messages, seen)
        kinds = [
            await self._kind(each.message, each.entities, label) if says_something or each.says_something else NOTHING
            for each in found
        ]
        treated = [each.message for each in found]
        if privacy.pseudonymises or any(each.spans for each in found):

            def ends(job: _Job) -> datetime | None:
                return self._writer.end(job.found.message, ttl, job.kind)

            jobs = [_Job(each, kind, self._lives.on_write(kind)) for each, kind in zip(found, kinds, strict=True)]
            treated = await self._treat_all(privacy, jobs, owner, people, ends)
        return self._writer.prepare(treated, owner=owner, ttl=ttl, kinds=kinds)

    def leaves_alone(self, message: Message, seen: Seen) -> bool:
        """Tell whether a message can be stored, and will be as it is; False where that takes longer to know.

        Args:
            message: that is going to be prepared.
            seen: keeps what is found in it until then.

        Raises:
            InvalidInputError: it cannot be stored.
            DetectionError: an engine failed.
        """
        privacy = self._privacy
        if privacy is None or privacy.pseudonymises or message.user_id is not None or message.expires_at is not None:
            return False
        found = privacy.find_at_once(message)
        if found is None or found.spans:
            return False
        codec.encode(codec.plain(message), codec.check_time(message.timestamp, "timestamp"), guest=False)
        seen.keep(message, found)
        return True

    @staticmethod
    def remember() -> Seen:
        """Give what keeps what is found in messages that are shown before they are appended."""
        return Seen()

    async def _kind(self, message: Message, entities: Iterable[str], label: Label) -> int:
        """Give the retention class of a message of which something may be true that a rule could ask for."""
        tags = _tags(message.metadata)
        return await self._lives.classify(
            tags=tags, session_tags=label.session_tags, entities=entities, purpose=label.purpose
        )

    async def prepare_again(
        self, prepared: Sequence[Prepared], *, owner: str, people: dict[str, Person]
    ) -> list[Prepared]:
        """Treat what was read to be sealed anew by the policy in force now; hours and ends stay.

        Args:
            prepared: the messages.
            owner: of the session that they are for.
            people: who each of their people has to be still, by id.

        Raises:
            UserErasedError: one of them was forgotten.
        """
        privacy = self._privacy
        if privacy is None:
            return list(prepared)
        clear = [each.message for each in prepared]
        if any(message.pseudonymised for message in clear):
            clear = await self._originals(clear, owner)
        jobs = [
            _Job(found, old.kind, self._lives.on_write(old.kind))
            for found, old in zip(await _find(privacy, clear), prepared, strict=True)
        ]
        treated = await self._treat_all(privacy, jobs, owner, people, lambda job: job.found.message.expires_at)
        return [
            old if message is old.message else self._writer.anew(message, old)
            for message, old in zip(treated, prepared, strict=True)
        ]

    async def _treat_all(
        self,
        privacy: Privacy,
        jobs: list[_Job],
        owner: str,
        people: dict[str, Person],
        ends: Callable[[_Job], datetime | None],
    ) -> list[Message]:
        """Treat messages, where there are pseudonyms with the vaults of the people they are about; takes in whose."""
        if not privacy.pseudonymises:
            desk = privacy.desk(self._nobodys, self._clock())
            return [privacy.treat(job.found, desk, None, job.otherwise) for job in jobs]
        treated: dict[int, Message] = {}
        for user_id in sorted({job.found.message.user_id or owner for job in jobs}):
            codec.check_id(user_id, "user_id")
            theirs = [place for place, job in enumerate(jobs) if (job.found.message.user_id or owner) == user_id]
            made = await self._treat_for(privacy, [jobs[place] for place in theirs], user_id, people, ends)
            treated |= dict(zip(theirs, made, strict=True))
        return [treated[place] for place in range(len(jobs))]

    async def _treat_for(
        self,
        privacy: Privacy,
        jobs: list[_Job],
        user_id: str,
        people: dict[str, Person],
        ends: Callable[[_Job], datetime | None],
    ) -> list[Message]:
        person = people.get(user_id)
        async with self._vaults.lock(user_id) if privacy.pseudonymises else nullcontext():
            for _ in range(_TRIES):
                vault = await self._vaults.at_hand(user_id, person) if privacy.pseudonymises else Vault()
                desk = privacy.desk(vault, self._clock())
                try:
                    treated = [privacy.treat(job.found, desk, ends(job), job.otherwise) for job in jobs]
                    if not desk.new or await self._vaults.keep(user_id, vault, desk.new, person):
                        owner = await self._vaults.owner(user_id)
                        if owner is not None and any(message.pseudonymised for message in treated):
                            people[user_id] = owner
                        return treated
                except BaseException:
                    vault.is_void = bool(desk.new)
                    raise
        raise ConflictError("other processes gave this person's pseudonyms away ten times on end; try again")

    def _mark(self, user_id: str) -> str:
        """Give what tells a guest's pseudonyms from the owner's: the same each time, and no way back to the id."""
        return self._keyed_hash(pae(b"securemem/guest-mark/1", user_id.encode()))[:_MARK_BYTES].hex()

    # Out

    @property
    def treats(self) -> bool:
        """Whether the policy in force changes anything in what is said."""
        return self._privacy is not None

    @property
    def pseudonymises(self) -> bool:
        """Whether it puts pseudonyms into it."""
        return self._privacy is not None and self._privacy.pseudonymises

    @property
    def is_realistic(self) -> bool:
        """Whether models read these as names that a person might have, which are told from others by nothing."""
        return self.pseudonymises and self._policy.pii is not None and self._policy.pii.pseudonyms == "realistic"

    def may_reveal(self, actor: str | None) -> bool:
        """Tell whether an actor may see what stands under pseudonyms."""
        return self._policy.allows(actor, "reveal")

    async def in_clear(self, messages: list[Message], *, owner: str, actor: str | None) -> list[Message]:
        """Give messages as they were said to those who have the right; to others as they stand."""
        return await self._originals(messages, owner) if self.may_reveal(actor) else messages

    async def as_said(self, messages: list[Message], *, owner: str) -> list[Message]:
        """Give messages as they were said, to whoever the person's own right lets have them."""
        return await self._originals(messages, owner)

    async def pseudonyms(self, user_id: str) -> list[tuple[str, str]]:
        """Give what a person's pseudonyms stand for, as far as that is not past its time: token and text."""
        now, vault = self._clock(), await self._vaults.fresh(user_id)
        return [(str(entry.token), entry.text) for entry in vault.entries(now)]

    async def _originals(self, messages: list[Message], owner: str) -> list[Message]:
        now, vaults = self._clock(), await self._vaults_of(messages, owner)
        return [reveal.original(message, vaults[message.user_id or owner], now) for message in messages]

    async def for_models(self, messages: list[Message], *, owner: str) -> list[Message]:
        """Give messages as a model may read them."""
        now, vaults = self._clock(), {}
        for person in {message.user_id or owner for message in messages}:
            vaults[person] = await self._vaults.fresh(person)
        return [
            reveal.as_read_by_models(
                message,
                vaults[message.user_id or owner],
                now,
                guest=self._mark(message.user_id) if message.user_id else "",
            )
            for message in messages
        ]

    async def _vaults_of(self, messages: Iterable[Message], owner: str) -> dict[str, Vault]:
        people = {message.user_id or owner for message in messages if message.pseudonymised}
        found = {message.user_id or owner: Vault() for message in messages}
        return found | {person: await self._vaults.fresh(person) for person in people}

    async def reveal(self, text: str, *, owner: str, guests: Iterable[str], actor: str | None) -> str:
        """Give a model's text with values in place of the pseudonyms of a session's owner and its guests.

        Raises:
            AccessDeniedError: the actor may not.
        """
        return reveal.revealed(text, await self._opened(owner, guests, actor), self._clock())

    async def reveal_stream(
        self,
        chunks: AsyncIterable[str] | Iterable[str],
        *,
        owner: str,
        guests: Iterable[str],
        actor: str | None,
    ) -> AsyncIterator[str]:
        """Give the same of a text that comes in pieces; what may be half a pseudonym waits for the other half.

        Raises:
            AccessDeniedError: the actor may not.
        """
        stream = reveal.Stream(await self._opened(owner, guests, actor), self._clock())
        async for chunk in _each(chunks):
            ready = stream.feed(chunk)
            if ready:
                yield ready
        rest = stream.end()
        if rest:
            yield rest

    async def _opened(self, owner: str, guests: Iterable[str], actor: str | None) -> dict[str, Vault]:
        """Give the vaults that a session's pseudonyms are in, by their marks, once it is written down who asks."""
        if not self.may_reveal(actor):
            raise AccessDeniedError("the policy gives this actor no right to reveal pseudonyms")
        vaults = {"": await self._vaults.fresh(owner)}
        for guest in guests:
            vaults[self._mark(guest)] = await self._vaults.fresh(guest)
        await self._log(owner, actor)
        return vaults


async def _find(privacy: Privacy, messages: Iterable[Message], seen: Seen | None = None) -> list[Found]:
    """Find what stands in messages; what is in `seen` is not sought again, and what is found is kept there."""
    every: list[Found] = []
    for message in messages:
        found = seen.recall(message) if seen is not None else None
        if found is None:
            found = await privacy.find_quickly(message)
            if seen is not None:
                seen.keep(message, found)
        every.append(found)
    return every


def _tags(metadata: dict[str, Any] | None) -> list[str]:
    """Give a message's tags, as its metadata names them."""
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list | tuple) else []


async def _each(chunks: AsyncIterable[str] | Iterable[str]) -> AsyncIterator[str]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
