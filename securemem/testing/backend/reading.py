"""The backend contract: what a tail gives."""

from __future__ import annotations

import pytest

from securemem.model import Change, Tail
from securemem.ports import Backend
from securemem.testing.backend.hooks import Hooks, handle, newest_first, rows, write

LAST_SEQ = 2**32 - 2


class Reading(Hooks):
    """`tail`."""

    async def test_an_unknown_session_is_empty(self, backend: Backend) -> None:
        """An unknown session gives no head and no rows, with and without `before`."""
        assert await backend.tail(handle(), 20) == Tail(b"", [])
        assert await backend.tail(handle(), 20, 7) == Tail(b"", [])
        assert await backend.tail(handle(), 0) == Tail(b"", [])

    async def test_rows_come_newest_first_with_their_head(self, backend: Backend) -> None:
        """A tail gives the head and all rows, newest first, byte for byte."""
        session = handle()
        head = await write(backend, session, 1, 8)
        assert await backend.tail(session, 20) == Tail(head, newest_first(rows(1, 8)))

    @pytest.mark.parametrize("limit", [0, 1, 6, 7, 8, 2**32 - 1])
    async def test_the_limit_cuts_the_oldest(self, backend: Backend, limit: int) -> None:
        """A tail gives the newest `limit` rows and the head, and all there are where the limit is above that."""
        session = handle()
        head = await write(backend, session, 1, 8)
        assert await backend.tail(session, limit) == Tail(head, newest_first(rows(1, 8))[:limit])

    @pytest.mark.parametrize("limit", [0, 1, 3, 100])
    @pytest.mark.parametrize("before", [0, 1, 2, 5, 7, 8, 9, 2**32 - 1])
    async def test_before_is_not_reached(self, backend: Backend, limit: int, before: int) -> None:
        """With `before`, a tail gives the newest `limit` rows of a lower seq, and the head as always."""
        session = handle()
        head = await write(backend, session, 1, 8)
        below = [row for row in newest_first(rows(1, 8)) if row[0] < before]
        assert await backend.tail(session, limit, before) == Tail(head, below[:limit])

    async def test_pages_are_contiguous(self, backend: Backend) -> None:
        """Page after page, each asked for below the last one's lowest seq, gives every row once and in order."""
        session = handle()
        await write(backend, session, 1, 48)
        seen: list[tuple[int, bytes]] = []
        before = None
        while page := (await backend.tail(session, 10, before)).rows:
            seen += page
            before = page[-1][0]
        assert seen == newest_first(rows(1, 48))

    async def test_pages_stay_when_rows_are_appended(self, backend: Backend) -> None:
        """What is appended meanwhile does not move the pages below."""
        session = handle()
        head = await write(backend, session, 1, 21)
        first = (await backend.tail(session, 10)).rows
        head = await write(backend, session, 21, 24, expected=head)
        second = await backend.tail(session, 10, first[-1][0])
        assert second == Tail(head, newest_first(rows(1, 11)))

    async def test_sessions_are_apart(self, backend: Backend) -> None:
        """A tail gives rows of its own session only, however the handles resemble each other."""
        handles = [
            bytes(16),
            bytes(15) + b"\x01",
            b"\xff" * 16,
            b"\xff" * 15 + b"\xfe",
            b"'; --\x00%_\"\\\n" + bytes(5),
        ]
        assert {len(each) for each in handles} == {16}
        for number, session in enumerate(handles):
            change = Change(session, b"", b"head %d" % number, rows=rows(1, 3, b"%d" % number))
            assert await backend.swap(change) is None
        for number, session in enumerate(handles):
            expected = Tail(b"head %d" % number, newest_first(rows(1, 3, b"%d" % number)))
            assert await backend.tail(session, 9) == expected

    async def test_a_head_may_stand_alone(self, backend: Backend) -> None:
        """A session may have a head and no rows."""
        session = handle()
        assert await backend.swap(Change(session, b"", b"head")) is None
        assert await backend.tail(session, 5) == Tail(b"head", [])

    async def test_the_highest_seq(self, backend: Backend) -> None:
        """A row at the highest seq is no head, and is found."""
        session = handle()
        some = rows(LAST_SEQ - 2, LAST_SEQ + 1)
        assert await backend.swap(Change(session, b"", b"head", rows=some)) is None
        assert await backend.tail(session, 3) == Tail(b"head", newest_first(some))
        assert await backend.tail(session, 1) == Tail(b"head", [some[-1]])
        assert await backend.tail(session, 2, LAST_SEQ) == Tail(b"head", [some[1], some[0]])

    @pytest.mark.parametrize("body", [b"", b"\x00", bytes(range(256)), b"x" * 10_000_000], ids=len)
    async def test_any_bytes(self, backend: Backend, body: bytes) -> None:
        """Rows of any length from none to 10 MB come back byte for byte."""
        session = handle()
        some = [(1, body), (2, b"after it")]
        assert await backend.swap(Change(session, b"", b"head", rows=some)) is None
        assert await backend.tail(session, 5) == Tail(b"head", newest_first(some))
