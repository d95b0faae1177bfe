"""The data store in process memory: sealed like every other, gone with the process (`memory://`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from securemem.model import NEVER, Change, Residue, Stamp, Tail

_RECORD, _CLEAR = b"SM\1\1", slice(29, 45)


@dataclass(slots=True)
class _Session:
    head: bytes = b""
    due: int = NEVER
    rows: dict[int, bytes] = field(default_factory=dict)


class MemoryBackend:
    """Rows and heads in dicts; every method runs to its end without another coroutine between."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, _Session] = {}
        self._stamp: Stamp | None = None

    async def open(self) -> Stamp | None:
        """As `ports.Backend`."""
        return self._stamp

    async def stamp(self, stamp: Stamp) -> None:
        """As `ports.Backend`."""
        present = self._stamp or stamp
        self._stamp = Stamp(present.deployment, max(present.counter, stamp.counter))

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `ports.Backend`."""
        found = self._sessions.get(session)
        if found is None:
            return Tail(b"", [])
        rows = found.rows
        # Rows are contiguous, so the newest one's seq and the limit say which they are.
        newest = max(rows, default=0) if before is not None else next(reversed(rows), 0)
        if before is not None:
            newest = min(newest, before - 1)
        wanted = range(newest, max(newest - limit, 0), -1)
        return Tail(found.head, [(seq, rows[seq]) for seq in wanted if seq in rows])

    async def swap(self, change: Change) -> bytes | None:
        """As `ports.Backend`."""
        found = self._sessions.get(change.session)
        current = found.head if found is not None else b""
        if current != change.expected:
            return current
        if found is None:
            found = self._sessions[change.session] = _Session()
        found.head = change.head
        found.rows.update(change.rows)
        for seq in range(*change.trim):
            found.rows.pop(seq, None)
        if change.due is not None:
            found.due = change.due
        return None

    async def delete(self, sessions: Sequence[bytes], *, heads: bool) -> int:
        """As `ports.Backend`."""
        deleted = 0
        for session in sessions:
            found = self._sessions.get(session)
            if found is None:
                continue
            deleted += len(found.rows)
            found.rows.clear()
            if heads:
                del self._sessions[session]
        return deleted

    async def census(self, sessions: Sequence[bytes] | None) -> dict[bytes, int]:
        """As `ports.Countable`."""
        wanted = self._sessions if sessions is None else [each for each in sessions if each in self._sessions]
        bodies = (body for session in wanted for body in self._sessions[session].rows.values())
        return Counter(body[_CLEAR] for body in bodies if body[:4] == _RECORD)

    async def due(self, now: int, limit: int) -> list[bytes]:
        """As `ports.Backend`."""
        overdue = [(found.due, session) for session, found in self._sessions.items() if NEVER < found.due <= now]
        return [session for _, session in sorted(overdue)[:limit]]

    async def purge(self, seconds: float) -> list[Residue]:  # noqa: ARG002  (nothing is left to wait for)
        """Nothing is left behind but what the allocator has not reused yet."""
        return []

    async def aclose(self) -> None:
        """Nothing to close: the rows live as long as this object."""
