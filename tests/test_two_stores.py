"""Two store objects on one SQLite file, each as another process is: what one does the other sees, its caches warm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from securemem import ConflictError, Message, SecureMemory, Session, UserErasedError

if TYPE_CHECKING:
    from tests.conftest import FakeClock

Pair = tuple[SecureMemory, SecureMemory]


@pytest.fixture
async def pair(file_url: str) -> AsyncIterator[Pair]:
    """Give two open stores on one file."""
    settings: dict[str, Any] = {"max_messages": 10_000}
    async with SecureMemory.open(file_url, **settings) as here, SecureMemory.open(file_url, **settings) as there:
        yield here, there


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history(10_000)]


def _handles(pair: Pair, session: str = "s", user: str = "alice") -> tuple[Session, Session]:
    here, there = pair
    return here.session(session, user_id=user), there.session(session, user_id=user)


async def _warm(pair: Pair) -> tuple[Session, Session]:
    """Give handles of one session of which both processes hold keys and head."""
    mine, theirs = _handles(pair)
    await mine.add("user", "1")
    await theirs.add("user", "2")
    assert await _texts(mine) == await _texts(theirs) == ["1", "2"]
    return mine, theirs


async def test_each_sees_the_others_appends(pair: Pair) -> None:
    """Appends in turn go on one chain, and both read all of it."""
    mine, theirs = await _warm(pair)
    for number in range(3, 9):
        await (mine if number % 2 else theirs).add("user", str(number))
    assert await _texts(mine) == await _texts(theirs) == [str(number) for number in range(1, 9)]


async def test_both_write_at_once(pair: Pair) -> None:
    """Appends of both at once are all there, once each, with the seqs that they were told."""
    mine, theirs = await _warm(pair)

    async def write(chat: Session, who: str) -> list[Message]:
        return [await chat.add("user", f"{who}{number}") for number in range(40)]

    stored = await asyncio.gather(write(mine, "m"), write(theirs, "t"), write(mine, "n"), write(theirs, "u"))
    history = await mine.history(10_000)
    assert history[2:] == sorted((message for each in stored for message in each), key=lambda message: message.seq or 0)
    assert await theirs.history(10_000) == history


async def test_both_make_the_same_session(pair: Pair) -> None:
    """A session and user that both make at the same moment are one."""
    for round_ in range(10):
        handles = _handles(pair, f"s{round_}", f"u{round_}")
        await asyncio.gather(*(chat.add("user", str(number)) for number, chat in enumerate(handles)))
        assert sorted(await _texts(handles[0])) == sorted(await _texts(handles[1])) == ["0", "1"]
    assert await (await pair[0].host.ready()).keyring.keystore.counts() == (10, 10)


async def test_a_clear_is_seen(pair: Pair) -> None:
    """After the other cleared it, a warm handle reads nothing and begins anew; so does the one that cleared."""
    mine, theirs = await _warm(pair)
    await theirs.clear()
    assert await mine.history() == await mine.context() == []
    assert [info async for info in pair[0].sessions()] == []
    assert (await mine.add("user", "anew")).seq == 1
    assert await _texts(theirs) == ["anew"]


async def test_a_clear_is_seen_by_a_writer(pair: Pair) -> None:
    """A warm handle that writes without reading first does not write into what was cleared."""
    mine, theirs = await _warm(pair)
    await theirs.clear()
    assert (await mine.add("user", "anew")).seq == 1
    assert await _texts(mine) == await _texts(theirs) == ["anew"]


async def test_a_clear_and_a_new_beginning_are_seen(pair: Pair) -> None:
    """A warm handle goes over to the session that the other began anew, and can clear it in turn."""
    mine, theirs = await _warm(pair)
    await theirs.clear()
    await theirs.add("user", "anew")
    assert await _texts(mine) == ["anew"]
    await mine.clear()
    assert await theirs.history() == []


@pytest.mark.parametrize("use", ["history", "context", "add", "fork", "clear"])
async def test_an_erasure_is_seen(pair: Pair, use: str) -> None:
    """A warm handle raises from then on, whatever it is asked for first; a new one begins anew."""
    mine, theirs = await _warm(pair)
    await pair[1].erase_user("alice")
    arguments: dict[str, tuple[str, ...]] = {"add": ("user", "late"), "fork": ("branch",)}
    for name in (use, "history", "add"):
        with pytest.raises(UserErasedError):
            await getattr(mine, name)(*arguments.get(name, ()))
    mine, theirs = _handles(pair)
    assert await mine.history() == await theirs.history() == []
    await mine.add("user", "anew")
    assert await _texts(mine) == await _texts(theirs) == ["anew"]


async def test_an_erasure_is_seen_after_the_person_came_back(pair: Pair) -> None:
    """A handle from before the erasure raises though the same ids exist again; a new one reads the new session."""
    mine, _ = await _warm(pair)
    await pair[1].erase_user("alice")
    await pair[1].session("s", user_id="alice").add("user", "anew")
    for _ in range(2):
        with pytest.raises(UserErasedError):
            await mine.history()
    assert await _texts(pair[0].session("s", user_id="alice")) == ["anew"]


async def test_a_handle_of_another_session_of_the_erased(pair: Pair) -> None:
    """A cached user key makes no session of somebody who was erased: the handle is told, or begins under a new key."""
    mine, _ = await _warm(pair)
    await pair[1].erase_user("alice")
    fresh = pair[0].session("t", user_id="alice")
    await fresh.add("user", "anew")
    assert await _texts(fresh) == await _texts(pair[1].session("t", user_id="alice")) == ["anew"]
    with pytest.raises(UserErasedError):
        await mine.history()


async def test_erasures_among_the_others_writers(pair: Pair) -> None:
    """Nothing that the other process appends meanwhile outlives the erasure under the old key."""
    mine, _ = await _warm(pair)

    async def write() -> None:
        for number in range(100_000):
            await mine.add("user", str(number))

    writer = asyncio.create_task(write())
    await asyncio.sleep(0.01)
    await pair[1].erase_user("alice")
    with pytest.raises(UserErasedError):
        await writer
    assert await (await pair[1].host.ready()).keyring.keystore.counts() == (0, 0)
    for memory in pair:
        assert await memory.session("s", user_id="alice").history() == []


async def test_a_sweep_is_seen(pair: Pair) -> None:
    """A warm handle reads on and writes on over the stubs that the other's sweep left."""
    mine, theirs = await _warm(pair)
    await mine.add("user", "short", ttl=0.001)
    await mine.add("user", "4")
    await asyncio.sleep(0.01)
    await pair[1].sweep()
    await mine.add("user", "5")
    assert await _texts(mine) == await _texts(theirs) == ["1", "2", "4", "5"]


@pytest.fixture
async def clocked(file_url: str, clock: FakeClock) -> AsyncIterator[Pair]:
    """Give two open stores on one file that go by `clock`."""
    async with SecureMemory.open(file_url, clock=clock) as here, SecureMemory.open(file_url, clock=clock) as there:
        yield here, there


async def _ended_elsewhere(pair: Pair, clock: FakeClock) -> Session:
    """Give a handle whose process knows of a session's end, which came, and not that the other erased its person."""
    mine, theirs = _handles(pair)
    await theirs.add("user", "1")
    await mine.clear()
    await mine.add("user", "short", ttl=10)
    assert await _texts(theirs) == ["short"]
    await pair[0].erase_user("alice")
    clock.advance(700)
    await pair[0].sweep()  # takes out the closed head, which would tell
    return theirs


async def test_an_erasure_is_seen_after_the_end(clocked: Pair, clock: FakeClock) -> None:
    """A handle whose session was to end by now still says that its person was erased."""
    theirs = await _ended_elsewhere(clocked, clock)
    with pytest.raises(UserErasedError):
        await theirs.history()
    theirs = await _ended_elsewhere(clocked, clock)
    with pytest.raises(UserErasedError):
        await theirs.add("user", "late")


async def test_a_new_beginning_is_seen_after_the_end(clocked: Pair, clock: FakeClock) -> None:
    """What the other began anew after the end and an erasure is read and listed at once, and written on."""
    await _ended_elsewhere(clocked, clock)
    await clocked[0].session("s", user_id="alice").add("user", "anew")
    there = clocked[1]
    assert [(info.session_id, info.messages) async for info in there.sessions()] == [("s", 1)]
    assert await _texts(there.session("s", user_id="alice")) == ["anew"]
    await there.session("s", user_id="alice").add("user", "on")
    assert await _texts(clocked[0].session("s", user_id="alice")) == ["anew", "on"]


async def test_a_trim_is_seen(file_url: str) -> None:
    """Each keeps to its own limit, and the other reads what is left."""
    async with SecureMemory.open(file_url, max_messages=5) as here, SecureMemory.open(file_url) as there:
        mine, theirs = _handles((here, there))
        await theirs.add_many([Message("user", str(number)) for number in range(9)])
        await mine.add("user", "9")
        assert await _texts(mine) == await _texts(theirs) == ["5", "6", "7", "8", "9"]


async def test_a_fork_onto_what_the_other_made(pair: Pair) -> None:
    """A session that the other process made is a conflict here."""
    mine, _ = await _warm(pair)
    await pair[1].session("branch", user_id="alice").add("user", "theirs")
    with pytest.raises(ConflictError):
        await mine.fork("branch")
    assert await _texts(pair[0].session("branch", user_id="alice")) == ["theirs"]


async def test_a_rotation_is_seen(pair: Pair) -> None:
    """After the other rotated and closed the epoch, warm and new handles here read and write on."""
    mine, theirs = await _warm(pair)
    await pair[1].keys.close_epoch(without_backup=True)
    await mine.add("user", "3")
    await pair[0].session("t", user_id="bob").add("user", "new here")
    assert await _texts(theirs) == ["1", "2", "3"]
    assert await _texts(pair[1].session("t", user_id="bob")) == ["new here"]


async def test_a_new_handle_before_the_erasure_was_noticed(pair: Pair) -> None:
    """A handle made after the other's erasure begins anew though nobody here noticed it yet; the old one raises."""
    mine, _ = await _warm(pair)
    await pair[1].erase_user("alice")
    fresh = pair[0].session("s", user_id="alice")
    assert await fresh.history() == []
    assert (await fresh.add("user", "anew")).seq == 1
    with pytest.raises(UserErasedError):
        await mine.history()


async def test_a_new_handle_writes_before_the_erasure_was_noticed(pair: Pair) -> None:
    """The same where the new handle appends without reading first."""
    await _warm(pair)
    await pair[1].erase_user("alice")
    assert (await pair[0].session("s", user_id="alice").add("user", "anew")).seq == 1
    assert await _texts(_handles(pair)[1]) == ["anew"]


async def test_a_list_after_the_others_erasure(pair: Pair) -> None:
    """Listing says what there is: nothing, and once the person came back, the new session; it never raises."""
    await _warm(pair)
    await pair[1].erase_user("alice")
    assert [info async for info in pair[0].sessions()] == []
    await pair[1].session("s", user_id="alice").add("user", "anew")
    assert [info.messages async for info in pair[0].sessions()] == [1]


async def test_an_erasure_of_somebody_the_other_has_erased(pair: Pair) -> None:
    """The second erasure finds nothing, and lets go of what this process had cached: a new handle begins anew."""
    await _warm(pair)
    await pair[1].erase_user("alice")
    assert (await pair[0].erase_user("alice")).handle == ""
    chat = pair[0].session("s", user_id="alice")
    assert await chat.history() == []
    await chat.add("user", "anew")
    assert await _texts(chat) == ["anew"]


@pytest.mark.parametrize("how", ["cleared", "erased"])
async def test_a_fork_onto_what_the_other_destroyed(pair: Pair, how: str) -> None:
    """An id that this process still has in its cache, and the other has cleared or erased, is free."""
    mine, _ = await _warm(pair)
    await mine.fork("branch")
    if how == "cleared":
        await pair[1].session("branch", user_id="alice").clear()
    else:
        await pair[1].erase_user("alice")
        await pair[1].session("s", user_id="alice").add_many([Message("user", "1"), Message("user", "2")])
        mine = pair[0].session("s", user_id="alice")
    assert await _texts(await mine.fork("branch")) == ["1", "2"]


async def test_a_guest_speaks_after_the_others_clear(pair: tuple[SecureMemory, SecureMemory]) -> None:
    """A guest's message to a session that another process cleared begins it anew; nobody was forgotten."""
    theirs, mine = (memory.session("s", user_id="alice") for memory in pair)
    await mine.add("user", "before")
    await theirs.clear()
    await mine.add("user", "after", user_id="ann")
    assert [message.content for message in await theirs.history()] == ["after"]
