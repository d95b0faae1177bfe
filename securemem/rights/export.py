"""All that is held of a person, as a stream of JSON objects (GDPR Art. 15 and 20), one after the other.

    {"kind": "export", "format": "securemem-export/1", "user_id", "at", "policy", "purposes", "retention", "recipients",
     "restricted", "holds"}
    {"kind": "session", "session_id", "created_at", "tags", "messages", "held"}          then its messages, oldest first
    {"kind": "message", "session_id", "seq", "role", "content", "timestamp", "metadata", "expires_at", "user_id",
     "purpose", "retention"}
    {"kind": "pseudonym", "token", "text"}               what models are shown in place of something of this person's

`docs/export.schema.json` says every field. What the person said in other people's sessions are messages whose
`session_id` is null, for its name is somebody else's. What is held, restricted, kept by a law or
quarantined is in it: it is the person's, though no reader has it. What is to be deleted is left out, as by every read.
Of a session, however long, one page is in memory at a time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem import codec
from securemem.conversation import OpenConversation
from securemem.crypto.envelope import FLAG_COMPRESSED, Sealed, Sealer
from securemem.errors import IntegrityError, UserErasedError, WrongKeyError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import UserRow
from securemem.keys.unwrapped import SessionKeys
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.holds import Holds, Kind
from securemem.lives import GONE, Lives
from securemem.model import NEVER, Message, from_milliseconds, to_milliseconds
from securemem.policy import Policy
from securemem.policy.decide import Action, Asked
from securemem.policy.rules import Rule
from securemem.ports import Clock
from securemem.reader import Reader
from securemem.rights.holdings import Page, Record, Selector, chain_of
from securemem.setapart import shown_name

if TYPE_CHECKING:
    from securemem.keptvalues import KeptValues
    from securemem.revealing import Revealing

FORMAT = "securemem-export/1"
_NOBODY = Asked()


class Sources(NamedTuple):
    """What an export reads with.

    Attributes:
        conversation: gives the state of a session.
        reader: of the store.
        revealing: gives back what stands under pseudonyms, and
        kept: where that is past its time.
    """

    conversation: OpenConversation
    reader: Reader
    revealing: Revealing
    kept: KeptValues


class _Terms(NamedTuple):
    """What a record is for, and until when it is kept."""

    purpose: str | None
    retention: dict[str, Any]


class Export:
    """Exports what is held of people, from one tenant."""

    def __init__(
        self,
        selector: Selector,
        keyring: Keyring,
        *,
        lives: Lives,
        audit: Audit,
        holds: Holds,
        policy: Policy,
        clock: Clock,
    ) -> None:
        """Take what finds and reads, and the policy in force."""
        self._selector = selector
        self._keyring = keyring
        self._lives = lives
        self._audit = audit
        self._holds = holds
        self._policy = policy
        self._clock = clock

    async def of(self, user_id: str, sources: Sources, *, actor: str | None) -> AsyncIterator[dict[str, Any]]:
        """Go through all that is held of a person; of somebody who is not known only the first object is given.

        Raises:
            IntegrityError: something is not as it was written.
        """
        person = await self._selector.person(user_id)
        now = self._clock()
        await self._log(person, actor, now)
        yield await self._about(user_id, person, now)
        if person is None:
            return
        async for keys in self._selector.own(user_id):
            async for item in self._session(keys, sources):
                yield item
        for chain in await self._selector.visited(person):
            sealer = await self._keyring.guests.own(chain.session, person)
            if sealer is None:
                continue
            async for page in self._selector.pages(chain):
                found = await self._opened(page, {person.handle: sealer}, only=person.handle)
                for item in await self._as_json(found, page.held, None, user_id, sources):
                    yield item
        for token, text in await sources.revealing.pseudonyms(user_id):
            yield {"kind": "pseudonym", "token": token, "text": text}

    async def _about(self, user_id: str, person: UserRow | None, now: datetime) -> dict[str, Any]:
        standing = await self._holds.active(kind=None) if person is not None else []
        kinds = [each.kind for each in standing if person is not None and each.person == person.handle]
        rules = self._policy.rules
        return {
            "kind": "export",
            "format": FORMAT,
            "user_id": user_id,
            "at": now.isoformat(),
            "policy": {"name": self._policy.name, "sha256": self._policy.sha256},
            "purposes": self._lives.purposes,
            "retention": {
                "default": rules.ttl.text if rules.ttl is not None else None,
                "at_most": rules.max_ttl.text if rules.max_ttl is not None else None,
                "rules": [_rule(rule) for rule in rules.rules],
            },
            "recipients": list(self._policy.recipients),
            "restricted": Kind.RESTRICTION in kinds,
            "holds": kinds.count(Kind.HOLD),
        }

    async def _session(self, keys: SessionKeys, sources: Sources) -> AsyncIterator[dict[str, Any]]:
        """Give a session and its messages."""
        name, chain = keys.title.session_id, chain_of(keys)
        shown = shown_name(name) or None
        is_told = False
        async for page in self._selector.pages(chain, self._living):
            if not is_told:
                yield _as_session(keys, page)
                is_told = True
            found = await self._opened(page, {None: keys.owner}, guests=keys)
            for item in await self._as_json(found, page.held, shown, keys.user_id, sources):
                yield item
        if not is_told:
            await self._check_empty(keys.user_id, name, sources)
            yield _as_session(keys, None)

    async def _check_empty(self, user_id: str, name: str, sources: Sources) -> None:
        """Ask a reader, who knows what a missing head means, and refuses what was cut or rolled back."""
        try:
            conversation = await sources.conversation(user_id, name, ())
            await sources.reader.newest(conversation, 1, even_restricted=True)
        except UserErasedError:
            # It was of who had the id before; from now on there is another.
            conversation = await sources.conversation(user_id, name, ())
            await sources.reader.newest(conversation, 1, even_restricted=True)

    async def _living(self, records: list[Record], held: bool) -> int:  # noqa: FBT001  (as `Selector.pages` calls it)
        """Count the records that are not past their time."""
        await self._lives.know({_place(record)[0] for record in records})
        if self._lives.is_idle and all(_place(record)[2] == NEVER for record in records):
            return len(records)
        now = to_milliseconds(self._clock())
        return sum(not self._lives.is_over(_place(record), held=held, now=now) for record in records)

    async def _opened(
        self,
        page: Page,
        sealers: dict[bytes | None, Sealer],
        *,
        guests: SessionKeys | None = None,
        only: bytes | None = None,
    ) -> list[tuple[Record, Message]]:
        """Give the messages of a page that are not past their time.

        Args:
            page: as the selector gives it.
            sealers: by the subjects of its records.
            guests: the keys that know those of guests, where their messages are wanted too.
            only: the subject whose messages are wanted alone.
        """
        await self._lives.know({_place(record)[0] for record in page.records})
        now = to_milliseconds(self._clock())
        found: list[tuple[Record, Message]] = []
        for record in page.records:
            if self._lives.is_over(_place(record), held=page.held, now=now):
                continue
            seen = self._seen(record)
            if not isinstance(record, Sealed):
                found.append((record, _message(record[0], record[1], record[3], seen)))
                continue
            if only is not None and record.subject != only:
                continue
            if record.subject not in sealers:
                sealer = await self._guest(guests, record)
                if sealer is None:
                    continue
                sealers[record.subject] = sealer
            try:
                payload = sealers[record.subject].open(record)
            except IntegrityError:
                if guests is not None and await self._selector.is_stub(guests.handle, record.seq):
                    continue  # its person was forgotten, and is back
                raise
            found.append((record, _message(record.seq, record.flags, payload, seen)))
        return found

    async def _guest(self, keys: SessionKeys | None, record: Sealed) -> Sealer | None:
        """Give what opens a guest's record; None where the guest was forgotten since the page was read."""
        if keys is None or record.subject is None:
            return None
        try:
            return await self._keyring.guests.for_reading(keys, record.subject, record.seq)
        except WrongKeyError:
            if await self._selector.is_stub(keys.handle, record.seq):
                return None
            raise

    def _seen(self, record: Record) -> int:
        return self._lives.seen(*_place(record))

    async def _as_json(
        self,
        opened: list[tuple[Record, Message]],
        held: bool,  # noqa: FBT001  (of the page)
        session_id: str | None,
        owner: str,
        sources: Sources,
    ) -> list[dict[str, Any]]:
        now, known = to_milliseconds(self._clock()), dict[tuple[int, int, int], _Terms]()
        messages = [message for _, message in opened]
        if any(message.pseudonymised for message in messages):
            is_seen = all(seen == NEVER or seen > now for seen in (self._seen(record) for record, _ in opened))
            giver = sources.revealing if is_seen else sources.kept
            messages = await giver.as_said(messages, owner=owner)
        made = []
        for (record, _), message in zip(opened, messages, strict=True):
            place = _place(record)
            terms = known.get(place)
            if terms is None:
                terms = known[place] = self._terms(place, now, held=held)
            made.append(_as_message(message, session_id, terms))
        return made

    def _terms(self, place: tuple[int, int, int], now: int, *, held: bool) -> _Terms:
        """Give what records are for, and until when they are kept and by what."""
        decision = self._lives.decide(place, held=held, asked=_NOBODY, now=now)
        if decision.action == Action.KEEP and decision.keeps and decision.deadline != NEVER:
            # What is out of sight from then on is kept for longer, and that is what the person is to know.
            decision = self._lives.decide(place, held=held, asked=_NOBODY, now=max(now, decision.deadline))
        until = from_milliseconds(decision.deadline).isoformat() if decision.deadline != NEVER else None
        retention = {"until": until, "rule": decision.rule, "why": decision.why}
        return _Terms(self._lives.purpose_of(place[0]), retention)

    async def _log(self, row: UserRow | None, actor: str | None, now: datetime) -> None:
        who = self._keyring.actor_hash(actor)
        person = row.handle if row is not None else None
        event = Event(EventKind.EXPORT, self._keyring.tenant, person, who, self._policy.digest, to_milliseconds(now))
        await self._audit.write(event)


def _place(record: Record) -> tuple[int, int, int]:
    """Give a record's class, hour and expiry."""
    if isinstance(record, Sealed):
        return record.retention_class, record.hour, record.expiry
    return record[4], record[5], record[2]


def _message(seq: int, flags: int, payload: bytes, seen: int) -> Message:
    plain = codec.decompress(payload, seq=seq) if flags & FLAG_COMPRESSED else payload
    return codec.decode(plain, seq, None if seen in (NEVER, GONE) else from_milliseconds(seen))


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "ttl": rule.ttl.text if rule.ttl is not None else None,
        "keep_for": rule.keep_for.text if rule.keep_for is not None else None,
        "basis": rule.basis,
        "purpose": rule.purpose,
    }


def _as_session(keys: SessionKeys, page: Page | None) -> dict[str, Any]:
    return {
        "kind": "session",
        "session_id": shown_name(keys.title.session_id) or None,
        "created_at": from_milliseconds(keys.title.created_at).isoformat(),
        "tags": list(keys.title.tags),
        "messages": page.total if page is not None else 0,
        "held": page is not None and page.held,
    }


def _as_message(message: Message, session_id: str | None, terms: _Terms) -> dict[str, Any]:
    return {
        "kind": "message",
        "session_id": session_id,
        "seq": message.seq,
        "role": message.role,
        "content": message.content,
        "timestamp": message.timestamp.isoformat() if message.timestamp is not None else None,
        "metadata": message.metadata,
        "expires_at": message.expires_at.isoformat() if message.expires_at is not None else None,
        "user_id": message.user_id,
        "purpose": terms.purpose,
        "retention": terms.retention,
    }
