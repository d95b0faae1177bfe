"""Rectification of a message (GDPR Art. 16): another content takes the place of what was said, which is left nowhere.

    audit → ledger's act → the record replaced (compare-and-swap, committed) → purge → floor → act through

Only the content is another: role, time, metadata, and whose it is stay, and so do the hour, the end and the class that
say how long it lives. The head's epoch rises, so that no cache of any process gives the old content; the keystore's
floor rises, so that no standby that lags does. Pseudonyms that the old content had stay in the person's vault: which of
them other messages use, no process can know that others write beside.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from securemem import codec
from securemem.conversation import Conversation, Found
from securemem.crypto.envelope import Sealed, Sealer
from securemem.destruction import Destruction
from securemem.ending import Outcome
from securemem.errors import (
    AccessDeniedError,
    ConflictError,
    ExpiredError,
    InvalidInputError,
    LegalHoldError,
)
from securemem.keys.keyring import Keyring
from securemem.ledger.acts import Act, Edit
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import Change, Head, Message, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.preparing import Prepared, Preparing
from securemem.reader import FORGOTTEN_SINCE, Reader, stands
from securemem.resealing import Replacement, Session, has_room, lowest, replace_one, replace_run
from securemem.rights.kept import Kept
from securemem.writer import CONFLICT_SECONDS

if TYPE_CHECKING:
    from securemem.treating import Treating

_PAGE = 500
_NONE = "there is no message of this seq in this session: nothing was rectified"


class Desk(NamedTuple):
    """What a message is read, treated and encoded with."""

    reader: Reader
    preparing: Preparing
    treating: Treating


class Request(NamedTuple):
    """What is to be rectified.

    Attributes:
        conversation: the session.
        seq: of the message.
        content: what it is to say.
        actor: who asks.
    """

    conversation: Conversation
    seq: int
    content: Any
    actor: str | None


class _Case(NamedTuple):
    """A session as it was read, from the record that is meant on, or from further down."""

    found: Found
    records: list[Sealed]
    sealed: Sealed

    @property
    def person(self) -> bytes:
        """The handle of the person that the message is about."""
        return self.sealed.subject or self.found.keys.user


class Rectifying:
    """Rectifies messages in one tenant."""

    def __init__(
        self,
        keyring: Keyring,
        ledger: Ledger,
        destruction: Destruction,
        *,
        kept: Kept,
        lives: Lives,
        clock: Clock,
        policy: Policy,
    ) -> None:
        """Take the rooms that it needs, and the policy in force."""
        self._keyring = keyring
        self._destruction = destruction
        self._corrections = destruction.corrections
        self._ledger = ledger
        self._kept = kept
        self._lives = lives
        self._clock = clock
        self._policy = policy.digest
        self._audit = Audit(ledger)

    async def rectify(self, request: Request, desk: Desk, *, purge_seconds: float) -> Message:
        """Rectify a message; gives it as it is stored from now on.

        Raises:
            InvalidInputError: there is no such message, or the content is none that can be stored.
            ExpiredError: it is past its time.
            LegalHoldError: a legal hold is on it.
            AccessDeniedError: it was written for purposes that are not the actor's.
            UserErasedError: its person was forgotten while the handle was open.
            ConflictError: other processes were quicker for 30 seconds on end.
        """
        conversation = request.conversation
        async with conversation.lock:
            conversation.ask_anew()
            act, message = await self._replace(request, desk)
            # Whoever reads next in this process takes nothing that was kept beside the keys either.
            conversation.ask_anew()
        outcome = Outcome(act.counter)
        await self._destruction.purge(outcome, purge_seconds)
        await self._destruction.carry_out(act, purge_seconds=None)
        await self._ledger.finish(act.counter, at=self._now())
        return message

    async def _replace(self, request: Request, desk: Desk) -> tuple[Act, Message]:
        deadline, conversation, is_logged = time.monotonic() + CONFLICT_SECONDS, request.conversation, False
        while True:
            case = await self._read(conversation, request.seq)
            try:
                prepared = await self._prepare(request, case, desk)
                change, head = await self._change(conversation, case, prepared)
            except FORGOTTEN_SINCE as exc:
                if await stands(conversation, case.found.head, exc):
                    raise
                continue
            if not is_logged:
                await self._log(EventKind.RECTIFY, case, request.actor)
                is_logged = True
            keys = case.found.keys
            act = await self._corrections.decide(keys, Edit(request.seq, head.version))
            if await conversation.swap(keys, change, head):
                return act, replace(prepared.message, seq=request.seq)
            await self._corrections.give_up(act)
            if time.monotonic() > deadline:
                raise ConflictError(f"session {keys.handle.hex()}: others were quicker for too long; try again")

    async def _read(self, conversation: Conversation, seq: int) -> _Case:
        """Read a session from a record on, verified; from further down, where it has to be sealed again from there."""
        rows = 1
        while True:
            found = await conversation.read(rows, primary=True)
            if found is None or not found.head.first <= seq < found.head.next:
                raise InvalidInputError(_NONE)
            asked, rows = rows, found.head.next - lowest(found.head, seq)
            if asked == rows:
                break
        records: list[Sealed] = []
        for start in range(0, rows, _PAGE):
            records += found.walk.page(found.rows[start : start + _PAGE])
            await asyncio.sleep(0)
        if found.whole:
            found.walk.finish()
        sealed = next((each for each in records if each.seq == seq), None)
        if sealed is None:
            raise InvalidInputError(_NONE)
        return _Case(found, records, sealed)

    async def _prepare(self, request: Request, case: _Case, desk: Desk) -> Prepared:
        """Check that the message may be rectified, and treat and encode what it is to say."""
        conversation, sealed, keys = request.conversation, case.sealed, case.found.keys
        if case.found.head.held or await self._kept.is_held(case.person, keys.handle):
            await self._log(EventKind.REFUSE, case, request.actor)
            raise LegalHoldError(f"session {keys.handle.hex()}: a legal hold is on it; nothing was rectified")
        if await desk.reader.is_over(sealed, self._now()):
            raise ExpiredError(f"message {sealed.seq} is past its time; nothing was rectified")
        if not self._lives.is_for(sealed.retention_class, request.actor):
            raise AccessDeniedError("the policy gives this actor no right to messages of this purpose")
        for old in await desk.reader.open_all(conversation, keys, [sealed]):
            person = old.user_id or conversation.user_id
            [said] = await desk.treating.out.as_said([old], owner=person)
            new = codec.plain(replace(said, content=request.content))
            again = desk.preparing.anew(new, desk.preparing.again(old, sealed))
            who = {person: keys.guest_ids.get(person, keys.person)}
            [prepared] = await desk.treating.prepare_again([again], owner=person, people=who)
            return prepared
        raise ExpiredError(f"message {sealed.seq} is past its time; nothing was rectified")

    async def _change(self, conversation: Conversation, case: _Case, prepared: Prepared) -> tuple[Change, Head]:
        found, sealed = case.found, case.sealed
        keys = found.keys

        async def sealer_of(record: Sealed) -> Sealer:
            if record.subject is None:
                return keys.owner
            return await conversation.guest_opener(keys, record.subject, record.seq)

        session = Session(keys.handle, keys.head, found.head, keys.head.encode(found.head))
        new = Replacement(sealed, prepared)
        if has_room(found.head, sealed.seq):
            return replace_one(session, new, await sealer_of(sealed))
        return await replace_run(session, new, found.rows[::-1], case.records, sealer_of)

    async def _log(self, kind: EventKind, case: _Case, actor: str | None) -> None:
        who, tenant = self._keyring.actor_hash(actor), self._keyring.tenant
        await self._audit.write(
            Event(kind, tenant, case.person, who, self._policy, self._now(), case.found.keys.handle)
        )

    def _now(self) -> int:
        return to_milliseconds(self._clock())
