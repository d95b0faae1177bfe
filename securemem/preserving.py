"""Preserves what has to be kept of a session that is being destroyed: sealed anew, in a session of its own, unread.

    head and records read → what a law or a hold demands of them opened, and sealed under a fresh key in a session that
    belongs to the person whose data it is → written down in the ledger → only then the old head is closed

The closing is a compare-and-swap on the head that was read: an append that comes between has it all done again. The
session in which something is preserved has a name that no caller gave it, so that the one that is destroyed can be
begun anew; `setapart.shown_name` tells what it was called. Readers are refused there; the person's export has it, and
the worker takes it out when nothing demands it any more. What pseudonyms stand for is put back into it (`keptvalues`).
A session that a hold is on is not destroyed at all, and the vault stays for as long as it does.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

import msgspec

from securemem.crypto.envelope import Sealed, Sealer
from securemem.crypto.head import Walk
from securemem.demands import COPY, PSEUDONYMS, Beside, Demands, Guest
from securemem.errors import IntegrityError, UserErasedError
from securemem.keptvalues import KeptValues
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Owner
from securemem.keys.unwrapped import GENERATION, SessionKeys, Title
from securemem.ledger.acts import Act
from securemem.ledger.audit import Audit, Event, EventKind, rule_name
from securemem.ledger.classes import Classes
from securemem.ledger.holds import Hold, Holds, Kind
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import NEVER, VAULT, Change, Head, to_milliseconds
from securemem.policy import Policy
from securemem.policy.decide import HOLD, Action, Asked, Decision
from securemem.policy.rules import rules_of
from securemem.ports import ALL_ROWS, Backend, Clock
from securemem.setapart import Preserved, filled, is_of, name_for, preserves, records_in, shown_name, still_lie

_ERASED = Asked(erasure=True)


class Lying(NamedTuple):
    """A session as it was read: its handle, whose it is, its verified head, and its rows, newest first."""

    session: bytes
    owner: Owner
    head: Head
    rows: list[tuple[int, bytes]]


Chosen = list[tuple[Sealed, Decision]]


class Preserving:
    """Preserves, in one tenant."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock, *, policy: bytes) -> None:
        """Take the stores, and the SHA-256 of the policy that this process goes by, for the audit."""
        self._policy = policy
        self._backend = backend
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._holds = Holds(ledger, keyring.tenant)
        self._audit = Audit(ledger)

    async def demands(self, act: Act) -> Demands:
        """Find out what has to be kept of what an act destroys, from what stood when it was decided, or else now."""
        values = KeptValues(self._backend, self._keyring)
        demands = Demands(act, self._lives(act), values, resumed=act.standing is None)
        demands.take(act.standing if act.standing is not None else await self._holds.active(kind=None))
        return demands

    async def ask_anew(self, demands: Demands) -> None:
        """Find out which holds stand by now: a head that says that it is held may be of one that was released."""
        demands.take(await self._holds.active(kind=None))

    async def is_preserving(self, session: bytes, owner: bytes, demands: Demands) -> bool:
        """Tell of a session without a head whether something is about to be preserved in it, and take that in."""
        keys = await self._opened(owner, session)
        found = keys is not None and preserves(keys.title.session_id)
        if found:
            demands.sessions.add(session)
            demands.preserving.add(session)
        return found

    async def keeps_all(self, lying: Lying, demands: Demands) -> bool:
        """Tell of a session in which something is preserved whether all of it has to be kept still.

        What is damaged, or of a class that the ledger knows no more, was preserved for a reason too.
        """
        if demands.lives is None:
            return False
        try:
            records = self._verified(lying)
        except IntegrityError:
            return True
        chosen = await self._choose(records, lying.owner.user, demands)
        kept = sum(len(of_theirs) for of_theirs in chosen.values())
        return kept == len(records) or not all(demands.lives.is_known(each.retention_class) for each in records)

    async def strays(self, session: bytes, demands: Demands) -> set[bytes]:
        """Give the sessions in which this act preserved something of one that stays after all."""
        found = demands.copies.pop(session, set())
        if demands.resumed:
            for each in await self._holds.active(Kind.PRESERVED):
                keys = await self._opened(each.person, each.session) if each.session is not None else None
                if keys is not None and is_of(keys.title.session_id, session, demands.act.counter):
                    found.add(keys.handle)
        return found

    async def _opened(self, owner: bytes, session: bytes) -> SessionKeys | None:
        """Give a session's keys; None of one whose keys are gone or do not open, in which nobody preserves anything."""
        try:
            return await self._keyring.at(owner, session)
        except IntegrityError:
            return None

    async def know(self, session: bytes, guest: bytes, generation: int, demands: Demands) -> Sealer | None:
        """Look up a guest's key in a session, where something of theirs may have to be kept, or have gone on.

        That which an act destroys, which is of this generation, is taken in as long as it is there.

        Returns:
            What they speak with since that was destroyed, if they do: what it opens is none of the act's. Whoever goes
            on with an act cannot tell that from what went on, and destroys it.
        """
        if demands.are_none and not demands.sessions:
            return None
        row = await self._keyring.keystore.user_row(guest)
        sealer = await self._keyring.guests.own(session, row) if row is not None else None
        if row is None or sealer is None:
            return None
        if row.generation > generation and not demands.resumed:
            return sealer
        if (session, guest) not in demands.guests:
            user = await self._keyring.user(row, None)
            demands.guests[session, guest] = Guest(user.user_id, sealer)
        return None

    def _lives(self, act: Act) -> Lives | None:
        if act.rules is None:
            return None
        keyed_hash = self._keyring.keyed_hash
        classes = Classes(self._ledger, self._keyring.tenant, keyed_hash)
        return Lives(Policy("", "", rules=rules_of(act.rules)), classes, keyed_hash)

    async def preserve(self, lying: Lying, demands: Demands, *, only: list[Sealed] | None = None) -> None:
        """Preserve what has to be kept of a session's records.

        What this act has preserved already is made anew, as long as it lies there as it was: it may have been rectified
        since. Of a guest it stays besides, for it may be a stub by now, and somebody have written on.

        Args:
            lying: the session.
            demands: what has to be kept.
            only: the records that are meant, verified, oldest first; all of the session's if not given.

        Raises:
            IntegrityError: the session is not as it was written.
        """
        session, owner, _, _ = lying
        records = only if only is not None else self._verified(lying)
        chosen = await self._choose(records, owner.user, demands)
        keys = await self._keyring.at(owner.user, session) if chosen else None
        if keys is None or keys.title.session_id == VAULT:
            return
        for subject, of_theirs in chosen.items():
            await self._copy(lying, keys, subject, of_theirs, demands)

    def _verified(self, lying: Lying) -> list[Sealed]:
        """Give a session's records, oldest first.

        Raises:
            IntegrityError: it is not as it was written.
        """
        session, owner, head, rows = lying
        walk = Walk(self._keyring.head_seal(session), head, session=session, owner=owner.user)
        records = walk.page(rows)[::-1]
        walk.finish()
        return records

    async def _choose(self, records: list[Sealed], owner: bytes, demands: Demands) -> dict[bytes, Chosen]:
        """Give what has to be kept, by the person whose data it is, oldest first."""
        chosen: dict[bytes, Chosen] = {}
        if demands.lives is not None:
            await demands.lives.know({sealed.retention_class for sealed in records})
        for sealed in records:
            subject = sealed.subject or owner
            decision = self._decide(sealed, demands, held=subject in demands.people)
            if decision is not None:
                chosen.setdefault(subject, []).append((sealed, decision))
        return chosen

    def _decide(self, sealed: Sealed, demands: Demands, *, held: bool) -> Decision | None:
        if held:
            return Decision(Action.RESTRICT, HOLD, NEVER, "a legal hold", keeps=True)
        if demands.lives is None:
            return None
        record = (sealed.retention_class, sealed.hour, sealed.expiry)
        decision = demands.lives.decide(record, held=False, asked=_ERASED, now=self._now())
        return decision if decision.action == Action.RESTRICT else None

    async def _copy(self, lying: Lying, keys: SessionKeys, subject: bytes, chosen: Chosen, demands: Demands) -> None:
        """Seal a person's records of a session anew, in one of their own; nothing where they are gone by now.

        What opens under no key any more is of no use to anybody, whatever a law demands.
        """
        guest = demands.guests.get((keys.handle, subject))
        opened = []
        for sealed, decision in chosen:
            with contextlib.suppress(IntegrityError):
                opened.append((Preserved.of(sealed, await self._open(keys, subject, sealed, guest)), decision))
        if not opened:
            return
        own = subject == keys.user
        user_id = keys.user_id
        if not own:
            ids = {guest.handle: name for name, guest in keys.guest_ids.items()}
            user_id = guest.user_id if guest is not None else ids[subject]
        decisions = [decision for _, decision in opened]
        generation = demands.act.generation if subject == demands.act.user else None
        said = await demands.values.put_back([record for record, _ in opened], user_id, generation=generation)
        stubbed = (keys.handle, subject) in demands.stubbed
        beside = Beside.STUBS if stubbed and not own else Beside.PERHAPS if demands.resumed and not own else Beside.NO
        for attempt in itertools.count():
            called = shown_name(keys.title.session_id) if own else ""
            name = name_for(keys.handle, demands.act.counter, attempt, called)
            title = Title(name, keys.title.created_at, keys.title.tags if own else ())
            to = await self._mint(subject, user_id, title)
            if to is None:
                return
            await self._write_down(keys, to, subject, decisions)
            if await self._fill(lying, to, said, decisions, beside):
                demands.sessions.add(to.handle)
                demands.preserving.add(to.handle)
                demands.copies.setdefault(keys.handle, set()).add(to.handle)
                return
            await self.let_go({to.handle})

    async def _mint(self, subject: bytes, user_id: str, title: Title) -> SessionKeys | None:
        """Make a session of a person's, under whatever key they have by now; None where they have none."""
        while (row := await self._keyring.keystore.user_row(subject)) is not None:
            with contextlib.suppress(UserErasedError):
                return await self._keyring.mint(user_id, title.session_id, title, owner=row.person)
        return None

    async def _open(self, keys: SessionKeys, subject: bytes, sealed: Sealed, guest: Guest | None) -> bytes:
        if subject == keys.user:
            return keys.owner.open(sealed)
        if guest is not None:
            return guest.sealer.open(sealed)
        return (await self._keyring.guests.for_reading(keys, subject, sealed.seq)).open(sealed)

    async def _fill(
        self, lying: Lying, to: SessionKeys, new: list[Preserved], decisions: list[Decision], beside: Beside
    ) -> bool:
        """Put records into a session, if they are what there is to preserve still.

        Else another process may have preserved more in it since, and whoever closes the old session begins again.

        Args:
            lying: where they lie yet.
            to: the session.
            new: the records.
            decisions: why, of each.
            beside: whether what lies there stays; else they come in its place.

        Returns:
            Whether that was possible: not if somebody closed the session, for what it is of was to stay.
        """
        held = any(decision.rule == HOLD for decision in decisions)
        while True:
            raw, rows = await self._backend.tail(to.handle, ALL_ROWS)
            if not await self._stands(lying):
                return True
            head = to.head.decode(raw) if raw else Head(version=0, generation=GENERATION)
            if head.closed:
                return False
            there = records_in(to, head, rows) if raw and beside is not Beside.NO else []
            if beside is Beside.PERHAPS and still_lie(there, new):
                there = []
            due = min(decision.deadline or self._now() for decision in decisions)
            if there:
                held, due = held or head.held, min(due, head.due) if head.due != NEVER else due
            change = filled(to, head, raw, [*(each for each in there if each not in new), *new], held=held, due=due)
            if await self._backend.swap(change) is None:
                return True

    async def _stands(self, lying: Lying) -> bool:
        """Tell whether a session is as it was read."""
        raw, _ = await self._backend.tail(lying.session, 0)
        return bool(raw) and self._keyring.head_seal(lying.session).decode(raw).version == lying.head.version

    async def _write_down(self, keys: SessionKeys, to: SessionKeys, subject: bytes, decisions: list[Decision]) -> None:
        """Write into the ledger that a session preserves something, and into the audit by which rules."""
        standing = await self._holds.active(Kind.PRESERVED)
        if any(each.session == to.handle for each in standing):
            return
        at = self._now()
        named = (self._keyring.tenant, subject, None, self._policy, at, keys.handle)
        counts = Counter(decision.rule for decision in decisions)
        events = [Event(EventKind.RESTRICT, *named, rule_name(rule), count) for rule, count in counts.items()]
        await self._audit.write(*events)
        await self._holds.place(subject, to.handle, reason=COPY, at=at, kind=Kind.PRESERVED)

    async def keep_pseudonyms(self, person: bytes, vault: bytes) -> None:
        """Write down that what a person's pseudonyms stand for stays, as long as something is preserved of them."""
        if all(each.session != vault for each in await self._holds.active(Kind.PRESERVED)):
            await self._holds.place(person, vault, reason=PSEUDONYMS, at=self._now(), kind=Kind.PRESERVED)

    async def move(self, session: bytes) -> None:
        """Raise the epoch of a session that goes on, so that nobody writes there by what they have cached.

        In one that is damaged nobody writes at all, and it keeps nobody from being forgotten.
        """
        seal = self._keyring.head_seal(session)
        with contextlib.suppress(IntegrityError):
            while (raw := (await self._backend.tail(session, 0)).head) and not (head := seal.decode(raw)).closed:
                new = msgspec.structs.replace(head, version=head.version + 1, epoch=head.epoch + 1)
                if await self._backend.swap(Change(session, raw, seal.encode(new), due=new.due)) is None:
                    return

    async def let_go(self, sessions: set[bytes]) -> None:
        """Strike out those that were destroyed."""
        for each in await self._holds.active(Kind.PRESERVED):
            if each.session in sessions:
                await self._holds.release(each.id, at=self._now(), kind=Kind.PRESERVED)

    def _now(self) -> int:
        return to_milliseconds(self._clock())


async def ended(keyring: Keyring, standing: list[Hold], sessions: Collection[bytes]) -> frozenset[bytes]:
    """Give which sessions outlive their person's erasure only for as long as something in them has to be kept.

    What pseudonyms stand for is not among them as long as anything else of the person is there.

    Args:
        keyring: of the tenant.
        standing: all that stands in it.
        sessions: that are asked about.
    """
    found = set()
    for each in standing:
        if each.kind != Kind.PRESERVED or each.session is None or each.session not in sessions:
            continue
        if each.reason == PSEUDONYMS:
            own, visited = await handles.of_person(keyring, each.person)
            if {*own, *visited} - {each.session}:
                continue
        found.add(each.session)
    return frozenset(found)
