"""The backend contract: what a swap and a deletion do."""

from __future__ import annotations

from securemem.model import Change, Tail
from securemem.ports import Backend
from securemem.testing.backend.hooks import Hooks, handle, newest_first, rows, write


class Changing(Hooks):
    """`swap` and `delete`."""

    async def test_a_swap_moves_the_head(self, backend: Backend) -> None:
        """Where the expected head stands, a swap gives None, and head and rows are there."""
        session = handle()
        head = await write(backend, session, 1, 3)
        assert await backend.swap(Change(session, head, b"next", rows=rows(3, 5))) is None
        assert await backend.tail(session, 9) == Tail(b"next", newest_first(rows(1, 5)))

    async def test_a_lost_swap_changes_nothing(self, backend: Backend) -> None:
        """Where another head stands, a swap gives that one; rows, trim and due of the change are not made."""
        session = handle()
        head = await write(backend, session, 1, 5)
        lost = Change(session, b"stale", b"mine", rows=rows(2, 9, b"lost"), trim=(1, 3), due=5)
        assert await backend.swap(lost) == head
        assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 5)))
        assert await backend.due(10, 9) == []

    async def test_a_new_session_wants_an_empty_expectation(self, backend: Backend) -> None:
        """On a session that is not there a swap that expects a head gives the empty one, and makes nothing."""
        session = handle()
        assert await backend.swap(Change(session, b"some head", b"mine", rows=rows(1, 3), due=5)) == b""
        assert await backend.tail(session, 9) == Tail(b"", [])
        assert await backend.due(10, 9) == []

    async def test_an_empty_expectation_wants_a_new_session(self, backend: Backend) -> None:
        """A swap that expects no head loses where one stands."""
        session = handle()
        head = await write(backend, session, 1, 3)
        assert await backend.swap(Change(session, b"", b"mine", rows=rows(1, 3, b"lost"))) == head
        assert await backend.tail(session, 9) == Tail(head, newest_first(rows(1, 3)))

    async def test_a_head_is_compared_whole(self, backend: Backend) -> None:
        """A head that only begins like the one that stands, or is longer, is another head."""
        session = handle()
        head = await write(backend, session, 1, 3)
        for stale in (head[:-1], head + b"\x00", head.upper()):
            assert await backend.swap(Change(session, stale, b"mine")) == head

    async def test_rows_are_replaced_in_place(self, backend: Backend) -> None:
        """A row put at a seq that is there takes its place, in the middle, at either end, and with new ones besides."""
        session = handle()
        head = await write(backend, session, 1, 7)
        stubs = [(1, b"stub 1"), (4, b"a stub that is longer than the row was"), (6, b"")]
        assert await backend.swap(Change(session, head, b"next", rows=[*stubs, (7, b"new")])) is None
        expected = dict(rows(1, 7)) | dict(stubs) | {7: b"new"}
        assert await backend.tail(session, 9) == Tail(b"next", newest_first(list(expected.items())))

    async def test_trim_takes_the_front(self, backend: Backend) -> None:
        """Trimmed are the seqs from the first up to but without the second, in the step that appends others."""
        session = handle()
        head = await write(backend, session, 1, 7)
        assert await backend.swap(Change(session, head, b"next", rows=rows(7, 9), trim=(1, 4))) is None
        assert await backend.tail(session, 9) == Tail(b"next", newest_first(rows(4, 9)))

    async def test_trim_may_take_everything(self, backend: Backend) -> None:
        """A session may be trimmed to nothing, and goes on at the seq that its head says."""
        session = handle()
        head = await write(backend, session, 1, 4)
        assert await backend.swap(Change(session, head, b"empty", trim=(1, 4))) is None
        assert await backend.tail(session, 9) == Tail(b"empty", [])
        await write(backend, session, 4, 6, expected=b"empty")
        assert (await backend.tail(session, 9)).rows == newest_first(rows(4, 6))

    async def test_trim_of_what_is_not_there(self, backend: Backend) -> None:
        """An empty trim takes nothing, nor does one below the first row."""
        session = handle()
        head = await write(backend, session, 5, 8)
        assert await backend.swap(Change(session, head, b"a", trim=(6, 6))) is None
        assert await backend.swap(Change(session, b"a", b"b", trim=(1, 5))) is None
        assert (await backend.tail(session, 9)).rows == newest_first(rows(5, 8))

    async def test_many_rows_in_one_step(self, backend: Backend) -> None:
        """A thousand rows go in one change."""
        session = handle()
        head = await write(backend, session, 1, 1001)
        assert await backend.tail(session, 2000) == Tail(head, newest_first(rows(1, 1001)))

    async def test_deletion_leaves_heads(self, backend: Backend) -> None:
        """Without `heads`, all rows of the sessions go and the heads stay, so that a stale writer still loses."""
        one, two, other = handle(), handle(), handle()
        head = await write(backend, one, 1, 4)
        await write(backend, two, 1, 3)
        kept = await write(backend, other, 1, 3)
        assert await backend.delete([one, two], heads=False) == 5
        assert await backend.tail(one, 9) == Tail(head, [])
        assert await backend.swap(Change(one, b"", b"mine", rows=rows(1, 3))) == head
        assert await backend.tail(other, 9) == Tail(kept, newest_first(rows(1, 3)))

    async def test_deletion_takes_heads_where_asked(self, backend: Backend) -> None:
        """With `heads`, nothing of the sessions is left, and one of the same handle begins anew."""
        session = handle()
        await write(backend, session, 1, 4)
        assert await backend.delete([session], heads=True) == 3
        assert await backend.tail(session, 9) == Tail(b"", [])
        assert await backend.swap(Change(session, b"", b"anew", rows=rows(1, 2, b"anew"))) is None
        assert await backend.tail(session, 9) == Tail(b"anew", rows(1, 2, b"anew"))

    async def test_deletion_passes_over_the_unknown(self, backend: Backend) -> None:
        """Unknown sessions, and sessions without rows, count nothing and are no error; nor is no session at all."""
        known, empty = handle(), handle()
        await write(backend, known, 1, 3)
        assert await backend.swap(Change(empty, b"", b"head")) is None
        assert await backend.delete([handle(), known, handle(), empty], heads=False) == 2
        assert await backend.delete([known, handle()], heads=True) == 0
        assert await backend.delete([], heads=True) == 0
        assert await backend.delete([], heads=False) == 0
