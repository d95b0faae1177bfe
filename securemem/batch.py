"""A natural batch: while calls are under way, what is asked for next gathers, and goes together in one.

Where nothing waits and a lane is free, a call goes straight through, in the caller's own task. In a crowd, that is as
long as batches have more than one member, it waits for the end of the loop's tick, in which the others come. Where
several batches are answered at once, their callers go on one batch after the other, each when the one before has asked
again: else all would work while the server waits, and then wait while it works.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from securemem.errors import BackendUnavailableError

R = TypeVar("R")
A = TypeVar("A")

MOST_IN_A_BATCH = 256


class Crowd:
    """Whether many call a server at once; shared by the batches of all kinds of calls to it.

    Attributes:
        dense: whether they do.
        turnstile: lets the callers of one batch after the other go on, so that what these ask for next is on its way to
            the server before others do anything.
    """

    def __init__(self) -> None:
        self.dense = False
        self.turnstile = asyncio.Lock()


class Batch(Generic[R, A]):
    """Calls of one kind to one server."""

    def __init__(
        self,
        alone: Callable[[R], Awaitable[A]],
        together: Callable[[list[R]], Awaitable[Sequence[A | Exception]]],
        *,
        lanes: int,
        crowd: Crowd,
        most: int = MOST_IN_A_BATCH,
        key: Callable[[R], Hashable] | None = None,
    ) -> None:
        """Say how calls are made.

        Args:
            alone: makes one call.
            together: makes several in one; gives what came of each, in order.
            lanes: how many calls, single or together, are under way at most.
            crowd: shared with the other kinds of calls to this server.
            most: how many go together; while some lanes wait for the server, what another has brought is worked on.
            key: calls with the same key never go in one batch; None where any may.
        """
        self._alone = alone
        self._together = together
        self._lanes = lanes
        self._crowd = crowd
        self._most = most
        self._key = key
        self._under_way = 0
        self._waiting: list[tuple[R, asyncio.Future[A]]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def call(self, request: R) -> A:
        """Make one call, alone if a lane is free, else with those that wait besides."""
        if self._crowd.dense or self._under_way >= self._lanes or self._waiting:
            future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
            self._waiting.append((request, future))
            if self._under_way < self._lanes and len(self._waiting) == 1:
                self._under_way += 1
                self._go_on()
            return await future
        self._under_way += 1
        try:
            return await self._alone(request)
        finally:
            self._go_on()

    def _go_on(self) -> None:
        """Give the lane that became free to what waits."""
        if not self._waiting:
            self._under_way -= 1
            return
        task = asyncio.get_running_loop().create_task(self._run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        try:
            if len(self._waiting) < self._most:
                # Those that are answered in this very tick ask again before it is over.
                await asyncio.sleep(0)
            batch = self._take()
            if self._waiting and self._under_way < self._lanes:
                self._under_way += 1
                self._go_on()
            if batch:
                self._crowd.dense = len(batch) > 1
                await self._answer(batch)
        finally:
            self._go_on()

    def _take(self) -> list[tuple[R, asyncio.Future[A]]]:
        """Take what waits, in order; a call whose key is taken already stays for the next batch."""
        batch: list[tuple[R, asyncio.Future[A]]] = []
        left: list[tuple[R, asyncio.Future[A]]] = []
        keys: set[Hashable] = set()
        for request, future in self._waiting:
            if future.done():
                continue
            key = self._key(request) if self._key is not None else None
            if len(batch) >= self._most or (key is not None and key in keys):
                left.append((request, future))
                continue
            if key is not None:
                keys.add(key)
            batch.append((request, future))
        self._waiting = left
        return batch

    async def _answer(self, batch: list[tuple[R, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([request for request, _ in batch])
            await self._crowd.turnstile.acquire()
        except BaseException:
            for _, future in batch:
                if not future.done():
                    future.set_exception(BackendUnavailableError("closed before this was done"))
            raise
        try:
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
            await asyncio.sleep(0)  # they go on
        finally:
            self._crowd.turnstile.release()

    async def _ask(self, requests: list[R]) -> Sequence[A | Exception]:
        try:
            return [await self._alone(requests[0])] if len(requests) == 1 else await self._together(requests)
        except Exception as exc:  # noqa: BLE001  (given to whoever asked)
            return [exc] * len(requests)

    async def aclose(self) -> None:
        """Finish what is under way and what waits."""
        while self._tasks:
            await asyncio.wait(self._tasks)
