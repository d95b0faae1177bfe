"""Personal data on the way in, and what the policy makes of it; who may see it as it was said, `revealing` knows.

Find (`privacy`) → treat, with the person's vault → the vault's new entries are written → the messages may be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from securemem import codec
from securemem.errors import ConflictError
from securemem.keys.rows import Person
from securemem.ledger.classes import NOTHING
from securemem.lives import Label, Lives
from securemem.model import Message
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.preparing import Prepared, Preparing
from securemem.privacy.privacy import Found, Privacy
from securemem.privacy.vault import Vault
from securemem.revealing import Revealing
from securemem.vaults import Vaults

_TRIES = 10
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
    """Treats the messages of one store by its policy.

    Attributes:
        out: gives back in clear what stands under the pseudonyms in them.
    """

    def __init__(
        self,
        policy: Policy,
        privacy: Privacy | None,
        *,
        vaults: Vaults,
        preparing: Preparing,
        lives: Lives,
        clock: Clock,
        out: Revealing,
    ) -> None:
        """Take what it works with.

        Args:
            policy: in force.
            privacy: its engines and treatments; None where it has none.
            vaults: of the store.
            preparing: checks and encodes what was treated.
            lives: says what a rule asks for.
            clock: the store's.
            out: gives back what was said.
        """
        self._policy = policy
        self._privacy = privacy
        self._vaults = vaults
        self._preparing = preparing
        self._lives = lives
        self._clock = clock
        self.out = out
        self._nobodys = Vault()

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
        return self._preparing.prepare(messages, owner=owner, ttl=ttl, kinds=[NOTHING] * len(messages))

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
            return self._preparing.prepare(messages, owner=owner, ttl=ttl, kinds=kinds)
        found = await _find(privacy, messages, seen)
        kinds = [
            await self._kind(each.message, each.entities, label) if says_something or each.says_something else NOTHING
            for each in found
        ]
        treated = [each.message for each in found]
        if privacy.pseudonymises or any(each.spans for each in found):

            def ends(job: _Job) -> datetime | None:
                return self._preparing.end(job.found.message, ttl, job.kind)

            jobs = [_Job(each, kind, self._lives.on_write(kind)) for each, kind in zip(found, kinds, strict=True)]
            treated = await self._treat_all(privacy, jobs, owner, people, ends)
        return self._preparing.prepare(treated, owner=owner, ttl=ttl, kinds=kinds)

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
            clear = await self.out.as_said(clear, owner=owner)
        jobs = [
            _Job(found, old.kind, self._lives.on_write(old.kind))
            for found, old in zip(await _find(privacy, clear), prepared, strict=True)
        ]
        treated = await self._treat_all(privacy, jobs, owner, people, lambda job: job.found.message.expires_at)
        return [
            old if message is old.message else self._preparing.anew(message, old)
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
        async with self._vaults.lock(user_id):
            for _ in range(_TRIES):
                vault = await self._vaults.at_hand(user_id, person)
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
