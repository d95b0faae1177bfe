"""Batches to a server: what is asked for next is on its way before the callers of another batch go on."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from securemem.batch import Batch, Crowd
from securemem.errors import BackendUnavailableError

TURNS = 3


class Server:
    """Answers what is under way all at once, when it is told to, and keeps in which order things came."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._answering = asyncio.Event()

    async def together(self, requests: list[str]) -> list[str]:
        """Take a batch, and give its answers in their time."""
        self.order.append(f"asked {len(requests)}")
        await self._answering.wait()
        return requests

    async def alone(self, request: str) -> str:
        """Take one request."""
        return (await self.together([request]))[0]

    async def answer(self) -> None:
        """Answer, and let everybody go on until they wait again."""
        self._answering.set()
        await asyncio.sleep(0)
        self._answering.clear()
        for _ in range(20):
            await asyncio.sleep(0)

    async def call(self, batch: Batch[str, str], name: str) -> None:
        """Ask again and again, and note each time when one goes on."""
        for _ in range(TURNS):
            assert await batch.call(name) == name
            self.order.append(name)


class Open(asyncio.Lock):
    """A turnstile that lets everybody through at once."""

    async def acquire(self) -> bool:  # type: ignore[override]
        """Wait for nobody."""
        return True

    def release(self) -> None:
        """Let nobody wait."""


@pytest.mark.parametrize("turnstile", [asyncio.Lock, Open], ids=["as_it_is", "control"])
async def test_a_batch_asks_again_before_another_goes_on(turnstile: type[asyncio.Lock]) -> None:
    """Two are answered in one moment: the server has something to do while the second's callers go on."""
    crowd, server = Crowd(), Server()
    crowd.dense, crowd.turnstile = True, turnstile()
    batch = Batch(server.alone, server.together, lanes=2, crowd=crowd, most=2)
    callers = [asyncio.create_task(server.call(batch, name)) for name in "abcd"]
    for _ in range(20):
        await asyncio.sleep(0)
    assert server.order == ["asked 2", "asked 2"]
    server.order.clear()
    await server.answer()
    first = ["a", "b", "asked 2", "c", "d", "asked 2"]
    assert (server.order == first) is (turnstile is asyncio.Lock), server.order
    while not all(caller.done() for caller in callers):
        await server.answer()
    await asyncio.gather(*callers)
    await batch.aclose()


async def test_nobody_waits_for_a_batch_that_is_cancelled_at_the_turnstile() -> None:
    """Whoever asked is told."""
    crowd, server = Crowd(), Server()
    crowd.dense = True
    batch = Batch(server.alone, server.together, lanes=1, crowd=crowd, most=2)
    callers = [asyncio.create_task(batch.call(name)) for name in "ab"]
    await crowd.turnstile.acquire()
    for _ in range(20):
        await asyncio.sleep(0)
    await server.answer()
    [running] = batch._tasks
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    for caller in callers:
        with pytest.raises(BackendUnavailableError):
            await caller
