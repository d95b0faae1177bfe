"""The backend contract: deadlines, the stamp, purging, and closing."""

from __future__ import annotations

from securemem.model import NEVER, Change, Residue, Stamp, Tail
from securemem.ports import Backend
from securemem.testing.backend.hooks import Connect, Hooks, handle, newest_first, rows, write


class Keeping(Hooks):
    """`due`, `stamp`, `open`, `purge` and `aclose`."""

    async def test_due_is_ordered(self, backend: Backend) -> None:
        """Sessions whose time has come, that moment included, come most overdue first, and at most `limit`."""
        sessions = {due: handle() for due in (50, 10, 40, 20, 30)}
        for due, session in sessions.items():
            assert await backend.swap(Change(session, b"", b"head", due=due)) is None
        assert await backend.due(9, 9) == []
        assert await backend.due(10, 9) == [sessions[10]]
        assert await backend.due(40, 9) == [sessions[due] for due in (10, 20, 30, 40)]
        assert await backend.due(1_000_000_000_000_000, 3) == [sessions[due] for due in (10, 20, 30)]

    async def test_due_is_set_moved_and_unset(self, backend: Backend) -> None:
        """A change sets `due`, another moves it, NEVER unsets it, and None leaves it as it is."""
        session, untouched = handle(), handle()
        assert await backend.swap(Change(untouched, b"", b"head")) is None
        assert await backend.due(10**15, 9) == []
        assert await backend.swap(Change(session, b"", b"a", due=100)) is None
        assert await backend.swap(Change(session, b"a", b"b", due=None)) is None
        assert await backend.due(100, 9) == [session]
        assert await backend.swap(Change(session, b"b", b"c", due=200)) is None
        assert await backend.due(199, 9) == []
        assert await backend.due(200, 9) == [session]
        assert await backend.swap(Change(session, b"c", b"d", due=NEVER)) is None
        assert await backend.due(10**15, 9) == []

    async def test_moments_of_our_days(self, backend: Backend) -> None:
        """`due` and `until` take milliseconds of these centuries, in a first change as in a later one."""
        session, later = handle(), 2**42
        first = Change(session, b"", b"a", rows=rows(1, 3), due=later, until=later + 1)
        assert await backend.swap(first) is None
        assert await backend.due(later, 9) == [session]
        assert await backend.swap(Change(session, b"a", b"b", due=later + 5, until=later + 7)) is None
        assert await backend.due(later + 4, 9) == []
        assert await backend.due(later + 5, 9) == [session]
        assert await backend.swap(Change(session, b"b", b"c", due=NEVER, until=NEVER)) is None
        assert await backend.tail(session, 9) == Tail(b"c", newest_first(rows(1, 3)))

    async def test_due_goes_with_the_head(self, backend: Backend) -> None:
        """Deleted rows leave `due` as it is; a deleted head takes it along."""
        session = handle()
        assert await backend.swap(Change(session, b"", b"head", rows=rows(1, 3), due=100)) is None
        await backend.delete([session], heads=False)
        assert await backend.due(100, 9) == [session]
        await backend.delete([session], heads=True)
        assert await backend.due(100, 9) == []

    async def test_an_unused_store_has_no_stamp(self, connect: Connect) -> None:
        """A store that nobody has used yet opens with None."""
        backend = connect()
        assert await backend.open() is None
        await backend.aclose()

    async def test_the_deployment_is_set_once(self, backend: Backend, connect: Connect) -> None:
        """The first stamp's deployment stays, whatever later ones say."""
        await backend.stamp(Stamp(b"a" * 16, 3))
        await backend.stamp(Stamp(b"b" * 16, 4))
        other = connect()
        assert await other.open() == Stamp(b"a" * 16, 4)
        await other.aclose()

    async def test_the_counter_only_rises(self, backend: Backend, connect: Connect) -> None:
        """A stamp with a lower counter leaves it as it is."""
        for counter in (0, 7, 3, 7, 2**40, 8):
            await backend.stamp(Stamp(b"a" * 16, counter))
        other = connect()
        assert await other.open() == Stamp(b"a" * 16, 2**40)
        await other.aclose()

    async def test_rows_do_not_stamp(self, backend: Backend, connect: Connect) -> None:
        """Only `stamp` stamps: a store with rows and no stamp opens with None."""
        await write(backend, handle(), 1, 3)
        other = connect()
        assert await other.open() is None
        await other.aclose()

    async def test_purge_takes_nothing_that_lives(self, backend: Backend) -> None:
        """Purging after a deletion gives a list of residues, and what was not deleted stays."""
        gone, kept = handle(), handle()
        await write(backend, gone, 1, 30)
        head = await write(backend, kept, 1, 3)
        await backend.delete([gone], heads=True)
        left = await backend.purge(2.0)
        assert all(residue == Residue(residue.store, residue.what, residue.until, residue.kind) for residue in left)
        assert await backend.tail(kept, 9) == Tail(head, newest_first(rows(1, 3)))

    async def test_closing_twice(self, connect: Connect) -> None:
        """A second `aclose` does nothing."""
        backend = connect()
        await backend.open()
        await backend.aclose()
        await backend.aclose()

    async def test_everything_is_there_after_reopening(self, connect: Connect) -> None:
        """After `aclose`, what is opened next over the same data has heads, rows, deadlines and the stamp."""
        backend, session, emptied = connect(), handle(), handle()
        await backend.open()
        head = await write(backend, session, 1, 30)
        assert await backend.swap(Change(session, head, b"next", rows=[(7, b"stub")], trim=(1, 5), due=100)) is None
        await write(backend, emptied, 1, 9)
        await backend.delete([emptied], heads=True)
        await backend.stamp(Stamp(b"d" * 16, 5))
        await backend.aclose()
        again = connect()
        assert await again.open() == Stamp(b"d" * 16, 5)
        expected = dict(rows(5, 30)) | {7: b"stub"}
        assert await again.tail(session, 99) == Tail(b"next", newest_first(list(expected.items())))
        assert await again.tail(emptied, 99) == Tail(b"", [])
        assert await again.due(100, 9) == [session]
        await again.aclose()
