"""How long a purge may take is the caller's to say, of every call that purges, and a number that is none is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from securemem import InvalidInputError, Residue, SecureMemory
from securemem.cli.app import app
from tests.conftest import FakeClock

Call = Callable[..., Awaitable[Any]]

NUMBERS: list[Any] = [-1, -0.001, float("nan"), float("inf"), float("-inf"), True, "5", None]
CALLS: dict[str, Callable[[SecureMemory], Call]] = {
    "erase": lambda memory: lambda **named: memory.erase_user("alice", **named),
    "clear": lambda memory: memory.session("s", user_id="alice").clear,
    "sweep": lambda memory: memory.sweep,
}
COMMANDS = {
    "erase": ["user", "erase", "alice", "--yes"],
    "clear": ["session", "clear", "s", "--user", "alice", "--yes"],
    "sweep": ["sweep"],
}


@pytest.fixture
async def memory(file_url: str, clock: FakeClock) -> AsyncIterator[SecureMemory]:
    """Give a store in which one message is past its time and another is not."""
    async with SecureMemory.open(file_url, clock=clock) as memory:
        await memory.session("s", user_id="alice").add("user", "hello")
        await memory.session("s", user_id="alice").add("user", "short", ttl=5)
        clock.advance(10)
        yield memory


def _heard(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have the data store note how long it may take for a purge."""
    heard: list[float] = []

    async def purge(_: object, seconds: float) -> list[Residue]:
        heard.append(seconds)
        return []

    monkeypatch.setattr("securemem.backends.sqlite.SqliteBackend.purge", purge)
    return heard


@pytest.mark.parametrize("name", CALLS)
async def test_what_is_said_holds(memory: SecureMemory, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store has as long as the caller says, a week at the most, and 5 seconds where nothing is said."""
    heard = _heard(monkeypatch)
    await CALLS[name](memory)(purge_seconds=0.25)
    for said in (10**400, None):
        await memory.session("s", user_id="alice").add("user", "again", ttl=60)
        memory.host.clock.advance(100)  # type: ignore[attr-defined]
        await CALLS[name](memory)(**({} if said is None else {"purge_seconds": said}))
    assert heard == [0.25, 7 * 86_400, 5]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("name", CALLS)
async def test_a_number_that_is_none(memory: SecureMemory, name: str, number: Any) -> None:
    """It is refused before anything is destroyed."""
    counts = (await memory.host.ready()).keyring.keystore.counts
    before = await counts()
    with pytest.raises(InvalidInputError, match="purge_seconds has to be a number of seconds"):
        await CALLS[name](memory)(purge_seconds=number)
    assert (await counts(), len(await memory.session("s", user_id="alice").history())) == (before, 1)


async def test_a_session_begins_anew_while_it_is_purged(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever speaks in a session that was cleared does not wait for what it left on disk, nor is that left out."""
    purging, through = asyncio.Event(), asyncio.Event()

    async def purge(_: object, __: float) -> list[Residue]:
        purging.set()
        await through.wait()
        return []

    monkeypatch.setattr("securemem.backends.sqlite.SqliteBackend.purge", purge)
    chat = memory.session("s", user_id="alice")
    clearing = asyncio.create_task(chat.clear(purge_seconds=60))
    await purging.wait()
    assert (await chat.add("user", "anew")).seq == 1
    ledger = (await memory.host.ready()).ledger
    assert len(await ledger.acts(unfinished=True)) == 1
    through.set()
    await clearing
    assert await ledger.acts(unfinished=True) == []
    assert [message.content for message in await chat.history()] == ["anew"]


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_hand_it_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--purge-seconds` is what the store hears; a number that is none is a usage error in one line."""
    url = "sqlite:///store.db"

    async def write() -> None:
        async with SecureMemory.open(url) as memory:
            await memory.session("s", user_id="alice").add("user", "hello", ttl=0.001)

    asyncio.run(write())
    heard = _heard(monkeypatch)
    for number in ("-1", "nan", "inf"):
        refused = CliRunner().invoke(app, [*COMMANDS[name], "--url", url, "--purge-seconds", number])
        assert (refused.exit_code, len(refused.stderr.splitlines()), heard) == (2, 1, [])
        assert "purge_seconds has to be a number" in refused.stderr
    done = CliRunner().invoke(app, [*COMMANDS[name], "--url", url, "--purge-seconds", "0.5"])
    assert (done.exit_code, heard) == (0, [0.5])
