"""The backend contract: many at once, in one adapter and in two over the same data."""

from __future__ import annotations

import asyncio

from securemem.model import Change, Stamp, Tail
from securemem.ports import Backend
from securemem.testing.backend.hooks import Connect, Hooks, OpenStore, handle, newest_first, rows, write

MANY = 64


async def _append(backend: Backend, session: bytes, mark: bytes) -> int:
    """Append one row to a session that others append to; gives its seq. The head is the newest seq in decimal."""
    expected = b""
    while True:
        seq = int(expected or b"0") + 1
        current = await backend.swap(Change(session, expected, b"%d" % seq, rows=[(seq, mark)]))
        if current is None:
            return seq
        assert current != expected, "a swap that lost gives the head that stands, and that is another one"
        expected = current


class Sharing(Hooks):
    """Concurrency: exactly one of two wins, and every tail is one state."""

    async def test_two_swaps_race_and_one_wins(self, backend: Backend, open_store: OpenStore) -> None:
        """Of two swaps that expect the same head exactly one is made; the other is told the winner's head."""
        other = await open_store()
        session, head = handle(), b""
        for turn in range(1, 21):
            mine = Change(session, head, b"mine %d" % turn, rows=[(turn, b"mine")])
            theirs = Change(session, head, b"theirs %d" % turn, rows=[(turn, b"theirs")])
            to_me, to_them = await asyncio.gather(backend.swap(mine), other.swap(theirs))
            won = mine if to_me is None else theirs
            assert (to_me, to_them) == ((None, mine.head) if won is mine else (theirs.head, None))
            assert await backend.tail(session, 1) == Tail(won.head, won.rows)
            head = won.head

    async def test_many_sessions_at_once(self, backend: Backend) -> None:
        """64 swaps at once on 64 sessions are all made."""
        sessions = [handle() for _ in range(MANY)]
        heads = await asyncio.gather(*(write(backend, session, 1, 4) for session in sessions))
        tails = await asyncio.gather(*(backend.tail(session, 9) for session in sessions))
        assert tails == [Tail(head, newest_first(rows(1, 4))) for head in heads]

    async def test_many_writers_on_one_session(self, backend: Backend) -> None:
        """64 writers at once on one session each get a place of their own, with no gap."""
        session = handle()
        seqs = await asyncio.gather(*(_append(backend, session, b"%d" % writer) for writer in range(MANY)))
        assert sorted(seqs) == list(range(1, MANY + 1))
        by_seq = {seq: b"%d" % writer for writer, seq in enumerate(seqs)}
        assert await backend.tail(session, 99) == Tail(b"%d" % MANY, newest_first(list(by_seq.items())))

    async def test_of_many_firsts_one_wins(self, backend: Backend) -> None:
        """Of 64 swaps at once on one new session exactly one is made."""
        session = handle()
        changes = [Change(session, b"", b"head %d" % one, rows=[(1, b"%d" % one)]) for one in range(MANY)]
        answers = await asyncio.gather(*(backend.swap(change) for change in changes))
        [winner] = [number for number, answer in enumerate(answers) if answer is None]
        assert set(answers) == {None, changes[winner].head}
        assert await backend.tail(session, 9) == Tail(changes[winner].head, changes[winner].rows)

    async def test_a_batch_survives_a_member(self, backend: Backend) -> None:
        """Whoever is cancelled takes nobody along, and has its change made or not, never half of it."""
        sessions = [handle() for _ in range(MANY)]
        tasks = [asyncio.create_task(write(backend, session, 1, 4)) for session in sessions]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.wait(tasks)
        whole = Tail(b"head up to 4", newest_first(rows(1, 4)))
        for number, session in enumerate(sessions):
            tail = await backend.tail(session, 9)
            assert tail == whole or (number % 3 == 0 and tail == Tail(b"", []))
            assert tasks[number].cancelled() or tail == whole

    async def test_a_tail_is_one_state(self, backend: Backend, open_store: OpenStore) -> None:
        """While a session is appended to and trimmed, each tail's rows are those that its head speaks of."""
        writer, session, keep = await open_store(), handle(), 10
        done = asyncio.Event()

        async def write_on() -> None:
            for seq in range(1, 301):
                expected = b"%d" % (seq - 1) if seq > 1 else b""
                trim = (max(1, seq - keep), seq - keep + 1) if seq > keep else (0, 0)
                change = Change(session, expected, b"%d" % seq, rows=rows(seq, seq + 1), trim=trim)
                assert await writer.swap(change) is None
            done.set()

        async def read(before: int | None) -> None:
            while not done.is_set():
                tail = await backend.tail(session, 99, before)
                newest = int(tail.head or b"0")
                assert tail.rows == newest_first(rows(max(1, newest - keep + 1), newest + 1))
                await asyncio.sleep(0)

        await asyncio.gather(write_on(), read(None), read(2**31))

    async def test_another_adapter_sees_what_is_done(self, backend: Backend, open_store: OpenStore) -> None:
        """What one adapter has written, replaced or deleted, another that is open over the same data sees at once."""
        other, session = await open_store(), handle()
        head = await write(backend, session, 1, 4)
        assert await other.tail(session, 9) == Tail(head, newest_first(rows(1, 4)))
        assert await other.swap(Change(session, head, b"theirs", rows=[(2, b"stub")], due=5)) is None
        assert await backend.due(5, 9) == [session]
        assert (await backend.tail(session, 9)).rows == [(3, b"row 3"), (2, b"stub"), (1, b"row 1")]
        assert await backend.delete([session], heads=False) == 3
        assert await other.tail(session, 9) == Tail(b"theirs", [])

    async def test_a_session_begun_anew_elsewhere(self, backend: Backend, open_store: OpenStore) -> None:
        """A session that one adapter deletes and another begins anew is the same one for all, from then on."""
        other, third, fourth, session = await open_store(), await open_store(), await open_store(), handle()
        await write(backend, session, 1, 4)
        for warm in (other, third, fourth):
            await warm.tail(session, 9)
        assert await backend.delete([session], heads=True) == 3
        assert await other.swap(Change(session, b"", b"anew", rows=rows(1, 3, b"anew"), due=5)) is None
        for each in (other, backend, third, await open_store()):
            assert await each.tail(session, 9) == Tail(b"anew", newest_first(rows(1, 3, b"anew")))
            assert await each.due(5, 9) == [session]
        assert await fourth.swap(Change(session, b"anew", b"more", rows=rows(3, 5))) is None
        assert await third.delete([session], heads=True) == 4
        await write(backend, session, 1, 2)
        assert await fourth.delete([session], heads=True) == 1

    async def test_two_stamp_at_once(self, backend: Backend, connect: Connect, open_store: OpenStore) -> None:
        """Of two deployments that stamp at once one is there, with the higher counter."""
        other = await open_store()
        await asyncio.gather(backend.stamp(Stamp(b"a" * 16, 3)), other.stamp(Stamp(b"b" * 16, 9)))
        third = connect()
        stamp = await third.open()
        await third.aclose()
        assert stamp in (Stamp(b"a" * 16, 9), Stamp(b"b" * 16, 9))
