"""What is held of a person: the one answer that access, export, restriction, holds and erasure go by.

Their own sessions and those in which they are a guest are `keys.handles.of_person`'s to say; here is how it is counted,
and how all records of them are read, oldest first and a page at a time, however long a session is. The chain is
followed from its newest end, so a session of several pages is read twice: once down to its beginning, keeping a tag for
each page, and once up again, each page verified by the tag that was kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from securemem.crypto.envelope import Opened, Sealed, Sealer
from securemem.crypto.head import HeadSeal, Walk, is_stub
from securemem.errors import IntegrityError, ReorderedError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.keys.rows import UserRow
from securemem.keys.unwrapped import SessionKeys
from securemem.ledger.holds import Holds, Kind
from securemem.ledger.store import Ledger
from securemem.model import VAULT, Head, from_milliseconds
from securemem.ports import Backend
from securemem.setapart import shown_name

PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSession:
    """A session of a person's.

    Attributes:
        session_id: its id; None of what is kept of their messages in a session of somebody else's that has ended.
        messages: how many records lie in it, those that are past their time and not yet deleted included.
        created_at: when its key was made.
        tags: what it is marked with.
        held: a legal hold is on it.
        restricted: it is kept out of sight.
    """

    session_id: str | None
    messages: int
    created_at: datetime
    tags: tuple[str, ...] = ()
    held: bool = False
    restricted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What is held of a person, in numbers; no content.

    Attributes:
        handle: by which stores, audit and receipts know them, in hex; None where nothing is held.
        sessions: their own.
        visited: in how many sessions of others something of theirs is.
        visits: how many records that is.
        pseudonyms: whether pseudonyms of theirs are kept.
        holds: the ids of the legal holds on them, in hex.
        restricted: whether the processing of their data is restricted.
        generation: of their key.
        epoch: of the KEK that it is wrapped under.
    """

    handle: str | None = None
    sessions: tuple[HeldSession, ...] = ()
    visited: int = 0
    visits: int = 0
    pseudonyms: bool = False
    holds: tuple[str, ...] = ()
    restricted: bool = False
    generation: int | None = None
    epoch: int | None = None

    @property
    def messages(self) -> int:
        """How many records there are in all."""
        return sum(session.messages for session in self.sessions) + self.visits


class Chain(NamedTuple):
    """A session to be read by its handle.

    Attributes:
        session: its handle.
        owner: its owner's.
        seal: makes and checks its heads.
        floor: the lowest version of its head that is accepted.
        generation: of its key.
        owner_sealer: opens what is the owner's; None for who may not.
        genuine: tells whether a record was written in it at all; by its row tag if not given.
    """

    session: bytes
    owner: bytes
    seal: HeadSeal
    floor: int
    generation: int
    owner_sealer: Sealer | None = None
    genuine: Callable[[Sealed], bool] | None = None

    def walk(self, head: Head, page: tuple[int | None, bytes | None] = (None, None)) -> Walk:
        """Give the walk from a head, or from a page whose beginning is known."""
        return Walk(self.seal, head, session=self.session, owner=self.owner, genuine=self.genuine, page=page)


Record = Sealed | Opened
"""A record that was verified; where it is plainly the owner's, and they ask, opened."""
Count = Callable[[list[Record], bool], Awaitable[int]]
"""Gives how many of some records count, by them and by whether a legal hold is on their session."""


class Page(NamedTuple):
    """Some records of a session.

    Attributes:
        total: how many there are in the session, of those that count.
        before: the seq that they lie below.
        records: oldest first.
        held: whether a legal hold is on the session.
    """

    total: int
    before: int
    records: list[Record]
    held: bool


class Selector:
    """Finds and reads what is held of people, in one tenant."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger) -> None:
        """Take the stores."""
        self._backend = backend
        self._keyring = keyring
        self._holds = Holds(ledger, keyring.tenant)

    async def person(self, user_id: str) -> UserRow | None:
        """Find a person; None of whom nothing is held."""
        return await self._keyring.find_user(user_id)

    async def own(self, user_id: str) -> AsyncIterator[SessionKeys]:
        """Go through a person's own sessions, in the order in which they were made; pseudonyms are in none."""
        async for keys in self._keyring.sessions(user_id):
            if keys.title.session_id != VAULT:
                yield keys

    async def visited(self, person: UserRow) -> list[Chain]:
        """Give the sessions of others in which a person is a guest."""
        _, visited = await handles.of_person(self._keyring, person.handle)
        owners = [(session, await self._keyring.keystore.owner_of(session)) for session in visited]
        return [
            Chain(session, owner.user, self._keyring.head_seal(session), owner.floor, owner.generation)
            for session, owner in owners
            if owner is not None
        ]

    async def summary(self, user_id: str) -> Holdings:
        """Count what is held of a person, without opening anything that they said.

        Raises:
            IntegrityError: a head or record is not as it was written.
        """
        person = await self.person(user_id)
        if person is None:
            return Holdings()
        sessions, has_vault = [], False
        async for keys in self._keyring.sessions(user_id):
            head, _ = await self._newest(chain_of(keys))
            if keys.title.session_id == VAULT:
                has_vault = head is not None and head.live > 0
            elif head is not None:
                sessions.append(_described(keys, head))
        visits = [
            [_of(page.records, person.handle) async for page in self.pages(chain)]
            for chain in await self.visited(person)
        ]
        standing = [each for each in await self._holds.active(kind=None) if each.person == person.handle]
        return Holdings(
            handle=person.handle.hex(),
            sessions=tuple(sessions),
            visited=sum(any(counts) for counts in visits),
            visits=sum(sum(counts) for counts in visits),
            pseudonyms=has_vault,
            holds=tuple(each.id.hex() for each in standing if each.kind == Kind.HOLD),
            restricted=any(each.kind == Kind.RESTRICTION for each in standing),
            generation=person.generation,
            epoch=person.epoch,
        )

    async def is_stub(self, session: bytes, seq: int) -> bool:
        """Tell whether a record was taken out since it was read."""
        _, rows = await self._backend.tail(session, 1, seq + 1)
        return not rows or rows[0][0] != seq or is_stub(rows[0][1])

    async def pages(self, chain: Chain, count: Count | None = None) -> AsyncIterator[Page]:
        """Go through the records of a session, verified, oldest first; it may be written to and read meanwhile.

        Args:
            chain: the session.
            count: gives how many of some records count, for the page's `total`; all of them if not given.

        Raises:
            IntegrityError: one is not as it was written.
        """
        done = 0
        while True:
            head, rows = await self._newest(chain)
            if head is None:
                return
            try:
                marks, page = await self._down(chain, head, rows, done, count)
                while True:
                    done = page.before - 1
                    yield page
                    if not marks:
                        return
                    page = await self._up(chain, head, *marks.pop(), floor=done + 1, total=page.total)
            except IntegrityError:
                now, _ = await self._newest(chain)
                if now is not None and (now.epoch, now.first, now.holes) == (head.epoch, head.first, head.holes):
                    raise  # else something lawful happened to it meanwhile

    async def _down(
        self, chain: Chain, head: Head, rows: list[tuple[int, bytes]], done: int, count: Count | None
    ) -> tuple[list[tuple[int, bytes]], Page]:
        """Follow the chain down to what was given already.

        Returns:
            Where each page but the oldest begins, and the tag that it has to bear, the newest first; and the oldest.
        """
        walk = chain.walk(head)
        floor, total = max(head.first, done + 1), 0
        marks: list[tuple[int, bytes]] = []
        while True:
            before, tag = walk.seq, walk.expected
            page = _page(chain, walk, [row for row in rows if row[0] >= floor], max(floor, before - PAGE))
            total += await count(page, head.held) if count is not None else len(page)
            if walk.seq <= floor:
                break
            marks.append((before, tag))
            await asyncio.sleep(0)
            _, rows = await self._backend.tail(chain.session, PAGE, walk.seq)
        if walk.seq == head.first:
            walk.finish()
        return marks, Page(total, before, page, head.held)

    async def _up(self, chain: Chain, head: Head, before: int, tag: bytes, *, floor: int, total: int) -> Page:
        """Read a page again whose beginning is known."""
        await asyncio.sleep(0)
        _, rows = await self._backend.tail(chain.session, before - floor, before)
        walk = chain.walk(head, (before, tag))
        return Page(total, before, _page(chain, walk, rows, floor), head.held)

    async def _newest(self, chain: Chain) -> tuple[Head | None, list[tuple[int, bytes]]]:
        """Give a session's head and its newest page; no head where it is closed, or there is nothing."""
        raw, rows = await self._backend.tail(chain.session, PAGE)
        if not raw and rows:
            raise ReorderedError("its head is missing: the data was cut", session=chain.session)
        if not raw:
            return None, []
        head = chain.seal.decode(raw)
        if head.closed:
            return None, []
        if head.version < chain.floor or head.generation != chain.generation:
            raise ReorderedError("the session was rolled back to an older state", session=chain.session)
        return head, rows


def _page(chain: Chain, walk: Walk, rows: list[tuple[int, bytes]], floor: int) -> list[Record]:
    """Verify a page down to a seq; those that are plainly the owner's are opened with it."""
    opened: list[Record] = [*walk.run(chain.owner_sealer, rows)] if chain.owner_sealer is not None else []
    found = [*opened, *walk.page(rows[len(opened) :])]
    if walk.seq != floor:
        raise ReorderedError("is missing", session=chain.session, seq=walk.seq - 1)
    found.reverse()
    return found


def _of(records: list[Record], subject: bytes) -> int:
    return sum(isinstance(record, Sealed) and record.subject == subject for record in records)


def chain_of(keys: SessionKeys) -> Chain:
    """Give a session to be read, by its keys."""
    return Chain(keys.handle, keys.user, keys.head, keys.floor, keys.generation, keys.owner, keys.genuine)


def _described(keys: SessionKeys, head: Head) -> HeldSession:
    return HeldSession(
        session_id=shown_name(keys.title.session_id) or None,
        messages=head.live,
        created_at=from_milliseconds(keys.title.created_at),
        tags=keys.title.tags,
        held=head.held,
        restricted=head.restricted,
    )
