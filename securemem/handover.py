"""Carries a session from one server to another, so that at every moment it is alive at one of them at most.

    head at the source closed (compare-and-swap, MOVED) → rows to the target, the head with the last of them
    → floor in the keystore raised → rows at the source deleted

Each step can be repeated, by whoever: a mover that was killed is followed by the next one, and by every process that
meets a session on its way. The rows are verified before the session is closed and before they are written, and deleted
only once the target's head stands. What cannot be verified stays where it is. It holds no user's key.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from securemem.crypto.head import Walk, is_fence, is_moved
from securemem.ending import CLOSED_HEAD_SECONDS
from securemem.errors import ConfigurationError, ConflictError, IntegrityError, ReorderedError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import Floor, Owner
from securemem.keys.unwrapped import GENERATION
from securemem.model import HANDLE_BYTES, NEVER, Change, Head, HeadFlag, Route, to_milliseconds
from securemem.ports import Backend, Clock

_ROWS_TOGETHER = 500

Rows = list[tuple[int, bytes]]
Way = Callable[[], Awaitable[Route]]


class Handover:
    """Carries the sessions of one tenant."""

    def __init__(self, keyring: Keyring, clock: Clock) -> None:
        """Take the tenant's keyring and the store's clock."""
        self._keyring = keyring
        self._clock = clock

    def fence(self, session: bytes, move: int, expected: bytes) -> Change:
        """As `ports.Carrier`."""
        head = Head(version=0, generation=GENERATION, epoch=move, flags=HeadFlag.MOVED)
        return Change(session, expected, self._keyring.head_seal(session).encode(head), due=_due(self._clock))

    async def check_apart(self, source: Backend, target: Backend, name: str) -> None:
        """Check that two servers are two, by a head that is put on one of them for a moment.

        It is of a session that nobody has; one that is left by a process that died goes with the next move's end.

        Args:
            source: where the tenant is.
            target: where it goes.
            name: of the target, in the settings.

        Raises:
            ConfigurationError: they are one: what was carried over would be removed with what is left behind.
        """
        mark = self.fence(secrets.token_bytes(HANDLE_BYTES), 0, b"")
        try:
            await source.swap(mark)
            seen = (await target.tail(mark.session, 0)).head
        finally:
            await source.delete([mark.session], heads=True)
        if seen:
            raise ConfigurationError(
                f"server {name!r} is the database that the tenant lies on already, by another name perhaps: correct "
                "[servers] in securemem.toml"
            )

    async def carry(self, session: bytes, source: Backend, target: Backend) -> None:
        """As `ports.Carrier`.

        Raises:
            IntegrityError: its rows at the source are not as they were written; they stay there.
        """
        raw, _ = await source.tail(session, 0)
        if is_moved(raw) and not is_fence(raw):
            await self._passage(session, source, target).arrive(raw)

    async def take(self, session: bytes, route: Route, way: Way, *, source: Backend, target: Backend) -> int:
        """Close a session at the source and carry it over; one that was not begun there is fenced.

        Args:
            session: its handle; it has a key.
            route: by which it is moved.
            way: gives the route as it stands. It is asked for once the head is read, so that who is slow closes nothing
                that has gone and come back.
            source: where it is.
            target: where it goes.

        Returns:
            How many rows were carried over.

        Raises:
            IntegrityError: it is not as it was written; it stays as it is.
            ConflictError: the route is another by now.
        """
        passage = self._passage(session, source, target)
        while (owner := await self._keyring.keystore.owner_of(session)) is not None:
            raw, rows = await source.tail(session, _ROWS_TOGETHER)
            if await way() != route:
                raise ConflictError("another process changed the tenant's route meanwhile: see `securemem tenant list`")
            if not raw and rows:
                raise ReorderedError("its head is missing: the data was cut or rolled back", session=session)
            if not raw or is_fence(raw):
                fence = self.fence(session, route.version, raw)
                if raw == fence.head or await source.swap(fence) is None:
                    return 0
            elif is_moved(raw):
                return await passage.arrive(raw)
            elif (closed := await passage.close(raw, rows, owner)) is not None:
                return await passage.arrive(*closed)
        return 0

    def _passage(self, session: bytes, source: Backend, target: Backend) -> _Passage:
        return _Passage(self._keyring, self._clock, session, source=source, target=target)


class _Passage:
    """One session's way from one server to another."""

    def __init__(self, keyring: Keyring, clock: Clock, session: bytes, *, source: Backend, target: Backend) -> None:
        self._seal = keyring.head_seal(session)
        self._keystore = keyring.keystore
        self._clock = clock
        self._session = session
        self._source = source
        self._target = target

    async def close(self, raw: bytes, newest: Rows, owner: Owner) -> tuple[bytes, Rows] | None:
        """Close it at the source, once it was verified; None where somebody has written since.

        Returns:
            The head that stands there now, and its rows.
        """
        head = owner.accepts(self._seal.decode(raw), self._session)
        if await self._has_arrived(head):
            raise ReorderedError("rows were put back on the server that it had left already", session=self._session)
        try:
            rows = await self._verified(head, newest, owner)
        except IntegrityError:
            if (await self._source.tail(self._session, 0)).head != raw:
                return None
            raise
        moved = msgspec.structs.replace(head, version=head.version + 1, flags=head.flags | HeadFlag.MOVED)
        change = Change(self._session, raw, self._seal.encode(moved), due=_due(self._clock))
        return (change.head, rows) if await self._source.swap(change) is None else None

    async def _verified(self, head: Head, newest: Rows, owner: Owner) -> Rows:
        """Give its rows, newest first, once they were found whole; of a closed session none is worth keeping."""
        if head.closed:
            return []
        walk = Walk(self._seal, head, session=self._session, owner=owner.user)
        rows, page = list[tuple[int, bytes]](), newest
        while True:
            walk.page(page)
            rows += page
            if len(page) < _ROWS_TOGETHER:
                break
            page = (await self._source.tail(self._session, _ROWS_TOGETHER, page[-1][0])).rows
        walk.finish()
        return rows

    async def arrive(self, raw: bytes, rows: Rows | None = None) -> int:
        """Write it at the target if it is not there yet, and let go of its rows at the source.

        Args:
            raw: the head that it was closed with.
            rows: what was verified before, newest first; they are read if they are not given.
        """
        moved = self._seal.decode(raw, moved=True)
        while not await self._has_arrived(moved):
            owner = await self._keystore.owner_of(self._session)
            if owner is None:
                moved, rows = _ended(moved, _due(self._clock)), []
            elif rows is None:
                rows = await self._read(moved, owner)
            if rows is not None and await self._write(raw, moved, rows):
                break
        await self._keystore.raise_floors([Floor(self._session, moved.version + 1, moved.latest_expiry)])
        if moved.closed:
            await self._source.delete([self._session], heads=False)
        else:
            # Only as long as the head says that the session is gone: it may have come back, however slow this is.
            await self._source.swap(Change(self._session, raw, raw, trim=(moved.first, moved.next)))
        return len(rows or [])

    async def _has_arrived(self, moved: Head) -> bool:
        there, litter = await self._target.tail(self._session, 1)
        if litter and not there:
            raise ReorderedError("rows without a head lie on the server that it is moved to", session=self._session)
        return _is_alive(there) and self._seal.decode(there).version > moved.version

    async def _read(self, moved: Head, owner: Owner) -> Rows | None:
        """Give its rows as they lie at the source; None where another process was quicker, and has let go of them."""
        try:
            newest = (await self._source.tail(self._session, _ROWS_TOGETHER)).rows
            return await self._verified(owner.accepts(moved, self._session), newest, owner)
        except IntegrityError:
            if await self._has_arrived(moved):
                return None
            raise

    async def _write(self, raw: bytes, moved: Head, rows: Rows) -> bool:
        """Write rows, oldest first, and with the last of them the head; False where somebody else writes there too.

        Until the head is there, the one that the session was closed with stands in for it.
        """
        there, _ = await self._target.tail(self._session, 0)
        if there and there != raw:
            # What an earlier stay has left, or what was restored from before: it is older, and goes.
            old = self._seal.decode(there, moved=True)
            if old.version > moved.version or not await self._put(there, raw, trim=(old.first, old.next)):
                return False
            there = raw
        oldest_first = rows[::-1]
        while len(oldest_first) > _ROWS_TOGETHER:
            if not await self._put(there, raw, rows=oldest_first[:_ROWS_TOGETHER]):
                return False
            there, oldest_first = raw, oldest_first[_ROWS_TOGETHER:]
        head = msgspec.structs.replace(moved, version=moved.version + 1, flags=moved.flags & ~HeadFlag.MOVED)
        until = NEVER if head.keep else head.latest_expiry
        return await self._put(there, self._seal.encode(head), rows=oldest_first, due=head.due, until=until)

    async def _put(self, expected: bytes, head: bytes, **what: Any) -> bool:
        return await self._target.swap(Change(self._session, expected, head, **what)) is None


def _due(clock: Clock) -> int:
    """Give from when a head that says that its session has gone is not needed any more."""
    return to_milliseconds(clock()) + CLOSED_HEAD_SECONDS * 1000


def _is_alive(head: bytes) -> bool:
    return head != b"" and not is_moved(head)


def _ended(moved: Head, due: int) -> Head:
    """Give the head of a session that was destroyed while it was on its way."""
    return msgspec.structs.replace(
        moved,
        flags=moved.flags | HeadFlag.CLOSED,
        first=moved.next,
        holes=0,
        due=due,
        latest_expiry=NEVER,
        edits={},
        pins=(),
    )
