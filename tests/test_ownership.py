"""A store object belongs to one event loop and one process, and one that is never closed loses and holds up nothing."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from securemem import ConfigurationError, SecureMemory

_UNCLOSED = """
import asyncio, sys
from securemem import SecureMemory

async def main():
    memory = SecureMemory.open(sys.argv[1])
    await memory.session("gone", user_id="ann").add("user", "gone")
    for number in range(5):
        await memory.session("kept").add("user", f"{number}")
    if sys.argv[2] == "clear":
        await memory.session("gone", user_id="ann").clear()
    if sys.argv[2] == "erase":
        await memory.erase_user("ann")
    if sys.argv[2] == "keep":
        main.memory = memory
    print("done", flush=True)

asyncio.run(main())
print("end", flush=True)
"""

_FORKED = """
import asyncio, os, sys, warnings
from securemem import ConfigurationError, SecureMemory

warnings.simplefilter("ignore")

async def main():
    memory = SecureMemory.open(sys.argv[1])
    session = memory.session("s")
    await session.add("user", "before")
    child = os.fork()
    if child == 0:
        refused = 0
        late = memory.session("t").add("user", "")
        for use in (session.add("user", "in the child"), session.history(), memory.erase_user("s"), late):
            try:
                use.send(None)
            except ConfigurationError as exc:
                refused += "fork" in str(exc)
        os._exit(40 + refused)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 44
    await session.add("user", "after")
    print([message.content for message in await session.history()], flush=True)
    await memory.close()

asyncio.run(main())
"""


def _run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


async def _contents(url: str, session: str, user: str | None = None) -> list[object]:
    async with SecureMemory.open(url) as memory:
        return [message.content for message in await memory.session(session, user_id=user).history()]


@pytest.mark.parametrize("act", ["nothing", "keep", "clear", "erase"])
def test_a_store_that_is_never_closed(tmp_path: Path, act: str) -> None:
    """A process that never closes its store ends at once, without a word, and everything it wrote is there."""
    url = f"sqlite:///{tmp_path}/store.db"
    ended = _run(_UNCLOSED, url, act)
    assert (ended.stdout, ended.returncode) == ("done\nend\n", 0)
    assert ended.stderr == ""
    assert asyncio.run(_contents(url, "kept")) == ["0", "1", "2", "3", "4"]
    assert asyncio.run(_contents(url, "gone", "ann")) == ([] if act in ("clear", "erase") else ["gone"])


def test_a_store_after_a_fork(tmp_path: Path) -> None:
    """A child process is told to open a store of its own; the parent goes on as if nothing had been."""
    url = f"sqlite:///{tmp_path}/store.db"
    ended = _run(_FORKED, url)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("['before', 'after']\n", "", 0)


def test_a_store_in_another_event_loop(tmp_path: Path) -> None:
    """A store that was used in one event loop is refused in another, and goes on in its own."""
    url = f"sqlite:///{tmp_path}/store.db"
    memory = SecureMemory.open(url)
    session = memory.session("s")
    with asyncio.Runner() as own, asyncio.Runner() as other:
        own.run(session.add("user", "hello"))
        uses: list[Callable[[], Coroutine[Any, Any, object]]] = [
            session.history,
            memory.keys.status,
            memory.sweep,
            lambda: memory.erase_user("s"),
            lambda: memory.session("t").add("user", "hello"),
        ]
        for use in uses:
            with pytest.raises(ConfigurationError, match="event loop"):
                other.run(use())
        assert len(own.run(session.history())) == 1
        own.run(memory.close())


def test_a_loop_that_went_to_another_thread(tmp_path: Path) -> None:
    """Where the store's own loop goes on in another thread, a second loop in its first thread is still refused."""
    memory = SecureMemory.open(f"sqlite:///{tmp_path}/store.db")
    session = memory.session("s")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(session.add("user", "hello"))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with asyncio.Runner() as other, pytest.raises(ConfigurationError, match="event loop"):
            other.run(session.history())
        assert len(asyncio.run_coroutine_threadsafe(session.history(), loop).result()) == 1
        asyncio.run_coroutine_threadsafe(memory.close(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_closing_elsewhere(tmp_path: Path) -> None:
    """Closing from another event loop, or from a child process, is refused too, and the store goes on in its own."""
    memory = SecureMemory.open(f"sqlite:///{tmp_path}/store.db")
    session = memory.session("s")
    with asyncio.Runner() as own, asyncio.Runner() as other:
        own.run(session.add("user", "hello"))
        with pytest.raises(ConfigurationError, match="event loop"):
            other.run(memory.close())
        memory.host._belonging._process += 1
        with pytest.raises(ConfigurationError, match="fork"):
            own.run(memory.close())
        memory.host._belonging._process -= 1
        assert len(own.run(session.history())) == 1
        own.run(memory.close())


async def test_a_store_is_not_pickled_or_copied() -> None:
    """Neither a store nor a session can be pickled or copied, and the error says what to do."""
    async with SecureMemory.open("memory://") as memory:
        session = memory.session("s")
        for each in (memory, session):
            with pytest.raises(ConfigurationError, match="open"):
                pickle.dumps(each)
            with pytest.raises(ConfigurationError):
                copy.deepcopy(each)


async def test_a_closed_store_is_refused(tmp_path: Path) -> None:
    """After `close` every use is refused, and a second `close` does nothing."""
    memory = SecureMemory.open(f"sqlite:///{tmp_path}/store.db")
    session = memory.session("s")
    await session.add("user", "hello")
    await memory.close()
    await memory.close()
    uses: list[Coroutine[Any, Any, object]] = [
        session.history(),
        memory.session("t").add("user", "hello"),
        memory.keys.status(),
        memory.erase_user("s"),
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match="closed"):
            await use


async def test_closing_while_calls_are_under_way(tmp_path: Path) -> None:
    """`close` waits for calls that have begun, those that are still opening the store too, and refuses later ones."""
    memory = SecureMemory.open(f"sqlite:///{tmp_path / 'store.db'}")
    calls = [asyncio.ensure_future(memory.session(f"s{n}", user_id="ann").add("user", "word")) for n in range(20)]
    await asyncio.sleep(0)
    await asyncio.wait_for(memory.close(), 30)
    for call in calls:
        with contextlib.suppress(ConfigurationError):
            assert (await call).seq == 1
    with pytest.raises(ConfigurationError):
        await memory.session("late").add("user", "word")
