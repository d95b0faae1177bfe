"""Ends sessions: closes their heads, and puts stubs in place of a guest's records; what has to be kept is spared.

A head that is closed turns away whoever still has the session's keys in memory, for as long as anybody can.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from securemem.corrections import without
from securemem.crypto.envelope import Sealed, Sealer
from securemem.crypto.head import HeadSeal, Walk
from securemem.demands import Demands
from securemem.errors import IntegrityError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Owner
from securemem.keys.unwrapped import GENERATION, SessionKeys
from securemem.ledger.acts import Act
from securemem.model import Change, Head, HeadFlag, Residue, Tail, to_milliseconds
from securemem.ports import ALL_ROWS, Backend, Clock
from securemem.preserving import Lying, Preserving

CLOSED_HEAD_SECONDS = 600
"""How long a closed head stays, to turn away whoever still has its keys in memory (300 seconds at most)."""

_LAST_VERSION = 2**62


@dataclass(slots=True)
class Outcome:
    """What a destruction did.

    Attributes:
        counter: the act's number in the ledger; 0 where nothing was held.
        user: the person's handle, for an erasure.
        sessions: how many sessions were destroyed.
        records: how many records were deleted from the data store, those that left a stub included.
        held: how many sessions were left as they are, for a hold is on them.
        residue: what is left of them, by the stores' own word.
        purged: the stores that have removed what the deletions left on disk.
    """

    counter: int = 0
    user: bytes | None = None
    sessions: int = 0
    records: int = 0
    held: int = 0
    residue: list[Residue] = field(default_factory=list)
    purged: set[str] = field(default_factory=set)

    def repeated(self, other: Outcome) -> None:
        """Take in what the same destruction did once more, to the same sessions and records if to any."""
        self.sessions = max(self.sessions, other.sessions)
        self.records = max(self.records, other.records)
        self.held = max(self.held, other.held)
        self.residue += [each for each in other.residue if each not in self.residue]


@dataclass(slots=True)
class Going:
    """How far an act has come.

    Attributes:
        act: which.
        demands: what has to be kept.
        outcome: what it did.
        closed: sessions whose heads are closed.
        left: sessions of other people in which stubs were put.
        spared: sessions that stay as they are.
        vault: the keys of the one that holds what the person's pseudonyms stand for, once it is known.
    """

    act: Act
    demands: Demands
    outcome: Outcome
    closed: set[bytes] = field(default_factory=set)
    left: set[bytes] = field(default_factory=set)
    spared: set[bytes] = field(default_factory=set)
    vault: SessionKeys | None = field(default=None, repr=False)

    @property
    def vaults(self) -> set[bytes]:
        """The vault's handle, if there is one."""
        return {self.vault.handle} if self.vault is not None else set()

    @property
    def expects_more(self) -> bool:
        """Whether a guest may say something while their keys are destroyed that has to be preserved."""
        return bool(self.left) and self.demands.lives is not None

    def spare(self, session: bytes) -> None:
        """Let a session stay."""
        self.outcome.held += session not in self.spared | self.demands.preserving | self.demands.vaults
        self.spared.add(session)


class Ending:
    """Ends the sessions of one tenant."""

    def __init__(self, backend: Backend, keyring: Keyring, preserving: Preserving, clock: Clock) -> None:
        """Take the stores, and what preserves."""
        self._backend = backend
        self._keyring = keyring
        self._preserving = preserving
        self._clock = clock

    def closing(self, session: bytes, raw: bytes) -> Change:
        """Give the change that closes a session if its head is still the one that was judged."""
        seal = self._keyring.head_seal(session)
        return _closing(session, raw, seal, self._closed(seal.decode(raw)))

    def retiring(self, session: bytes, generation: int) -> Change:
        """Give the change that closes a session which its store has dropped, unless somebody has begun it again."""
        seal = self._keyring.head_seal(session)
        return _closing(session, b"", seal, self._closed(Head(version=_LAST_VERSION, generation=generation)))

    async def close(self, session: bytes, going: Going) -> None:
        """Close a session's head, so that nothing is appended any more, whatever is cached anywhere; or spare it.

        What has to be kept of a session that is closed is preserved before; one in which another act preserved
        something is closed too, unless all of that has to be kept still.
        """
        seal, demands = self._keyring.head_seal(session), going.demands
        while True:
            raw, rows = await self._backend.tail(session, 0 if demands.are_none else ALL_ROWS)
            head = self._for_closing(seal, raw)
            if head.restricted or head.keep:
                were_none = demands.are_none
                # Held since, or what another process preserves while it erases the same person.
                await self._preserving.ask_anew(demands)
                if were_none and not demands.are_none:
                    continue  # its records are wanted now
            owner = await self._owner(session, demands) if not head.closed else None
            lying = Lying(session, owner, head, rows) if owner is not None else None
            if lying is not None and await self._stays(lying, raw, demands):
                on_it = demands.are_holds_on(session, lying.owner.user)
                spares = demands.are_holds_on if on_it else demands.spares
                if await self._spare(session, going, partial(spares, session, lying.owner.user)):
                    return
                continue
            if lying is not None and raw and not demands.are_none:
                # What is damaged keeps nobody from being forgotten.
                with contextlib.suppress(IntegrityError):
                    await self._preserving.preserve(lying, demands)
            if head.closed or await self._backend.swap(_closing(session, raw, seal, self._closed(head))) is None:
                going.closed.add(session)
                return

    async def _stays(self, lying: Lying, raw: bytes, demands: Demands) -> bool:
        """Tell whether a session stays: a hold is on it, or what is preserved in it, or about to be, has to be kept."""
        session, owner = lying.session, lying.owner.user
        if demands.are_holds_on(session, owner):
            return True
        if not raw:
            return demands.spares(session, owner) or await self._preserving.is_preserving(session, owner, demands)
        return demands.spares(session, owner) and (
            not demands.judges(session) or await self._preserving.keeps_all(lying, demands)
        )

    async def _spare(self, session: bytes, going: Going, spared: Callable[[], bool]) -> bool:
        """Let a session stay; what was preserved of it, before the hold that spares it was placed, goes again.

        Somebody else who carries out the act once the hold is released fills what they preserve anew, and so it is
        theirs if that was closed here; here it is not closed if it was filled since the hold was seen to stand.

        Returns:
            Whether it stays: not if the hold was released meanwhile.
        """
        made = session not in going.demands.preserving or going.demands.judges(session)
        strays = await self._preserving.strays(session, going.demands) if made else set()
        for stray in sorted(strays):
            seal = self._keyring.head_seal(stray)
            while True:
                raw, _ = await self._backend.tail(stray, 0)
                head = self._for_closing(seal, raw)
                await self._preserving.ask_anew(going.demands)
                if not spared():
                    return False
                if head.closed or await self._backend.swap(_closing(stray, raw, seal, self._closed(head))) is None:
                    break
            going.closed.add(stray)
            going.spared.discard(stray)
        going.spare(session)
        return True

    async def _owner(self, session: bytes, demands: Demands) -> Owner | None:
        """Give whose session it is, where that can matter."""
        if demands.are_none and not demands.sessions:
            return None
        return await self._keyring.keystore.owner_of(session)

    def _closed(self, head: Head) -> Head:
        return Head(
            version=head.version + 1,
            generation=head.generation,
            epoch=head.epoch + 1,
            flags=head.flags | HeadFlag.CLOSED,
            first=head.next,
            next=head.next,
            last_tag=head.last_tag,
            due=self._now() + CLOSED_HEAD_SECONDS * 1000,
        )

    def _for_closing(self, seal: HeadSeal, raw: bytes) -> Head:
        """Give the head to close; one that was tampered with keeps nobody from being forgotten."""
        if not raw:
            return Head(version=0, generation=GENERATION)
        try:
            return seal.decode(raw)
        except IntegrityError:
            return Head(version=_LAST_VERSION, generation=GENERATION)

    async def stub_out(self, session: bytes, guest: bytes, going: Going, *, late: bool = False) -> None:
        """Put stubs in place of a guest's records in somebody else's session, or spare them.

        A session that has no head yet is given one, so that a first append in flight fails. One that was tampered with
        keeps nobody from being forgotten: what is left in it opens under no key, and the receipt says so.

        Args:
            session: whose is somebody else's.
            guest: the person who is forgotten.
            going: how far the act is.
            late: whether the guest's key is gone, so that nothing can be spared any more.
        """
        owner = await self._keyring.keystore.owner_of(session)
        while True:
            tail = await self._backend.tail(session, ALL_ROWS)
            if owner and not late and await self._is_spared(session, tail.head, owner, guest, going.demands):
                going.left.discard(session)
                if await self._spare(session, going, partial(_are_spared, going.demands, session, owner, guest)):
                    return
                continue
            going.left.add(session)
            if owner is None:
                return
            try:
                head, stubs = await self._stubs(session, owner, tail, guest, going)
            except IntegrityError:
                left = Residue("data", "sealed messages in another person's session that is damaged")
                going.outcome.residue.append(left)
                return
            if head.closed:
                return
            changed = self._keyring.head_seal(session).encode(without(head, stubs))
            if await self._backend.swap(Change(session, tail.head, changed, rows=stubs)) is None:
                going.outcome.records += len(stubs)
                if stubs:
                    going.demands.stubbed.add((session, guest))
                return

    async def _is_spared(self, session: bytes, raw: bytes, owner: Owner, guest: bytes, demands: Demands) -> bool:
        """Tell whether a hold is on what a guest said in a session; it may have been placed since the act began."""
        head = self._for_closing(self._keyring.head_seal(session), raw)
        if (head.keep or head.restricted) and not head.closed:
            await self._preserving.ask_anew(demands)
        return _are_spared(demands, session, owner, guest)

    async def _stubs(
        self, session: bytes, owner: Owner, tail: Tail, guest: bytes, going: Going
    ) -> tuple[Head, list[tuple[int, bytes]]]:
        """Preserve what has to be kept of a guest's records in a session, and give its head and the stubs for them.

        Raises:
            IntegrityError: the session is not as it was written.
        """
        raw, rows = tail
        seal = self._keyring.head_seal(session)
        since = await self._preserving.know(session, guest, going.act.generation, going.demands)
        head = owner.accepts(seal.decode(raw) if raw else Head(version=0, generation=owner.generation), session)
        if head.closed:
            return head, []
        walk = Walk(seal, head, session=session, owner=owner.user)
        theirs = [sealed for sealed in walk.page(rows)[::-1] if _is_by(guest, since, sealed)]
        walk.finish()
        if theirs and not going.demands.are_none:
            await self._preserving.preserve(Lying(session, owner, head, rows), going.demands, only=theirs)
        return head, [seal.stub_for(sealed) for sealed in theirs]

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def _is_by(guest: bytes, since: Sealer | None, sealed: Sealed) -> bool:
    """Tell whether a record is a guest's, and not one that they have said since their key was destroyed."""
    return sealed.subject == guest and (since is None or not since.opens(sealed))


def _are_spared(demands: Demands, session: bytes, owner: Owner, guest: bytes) -> bool:
    """Tell whether what a guest said in a session stays."""
    return demands.spares(session, owner.user) or guest in demands.people


def _closing(session: bytes, raw: bytes, seal: HeadSeal, closed: Head) -> Change:
    return Change(session, raw, seal.encode(closed), due=closed.due, until=closed.due)
