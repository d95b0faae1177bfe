"""The worker's loop: pass after pass, as fast as it is let, until it is told to stop.

Any number of workers may run on any number of machines (`sweep`). Between passes each waits a while that differs a
little from worker to worker, so that they do not all come at once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from securemem.errors import (
    BackendUnavailableError,
    ConfigurationError,
    IntegrityError,
    KMSUnavailableError,
    NotReadyError,
)
from securemem.retention.sweep import SweepReport

_PASSING = (BackendUnavailableError, ConfigurationError, KMSUnavailableError, NotReadyError, IntegrityError)
"""What ends a pass, and not the worker."""
JITTER = 0.1
"""By how much of its length a wait differs at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """How a worker works.

    Attributes:
        interval: seconds from the end of a pass to the beginning of the next.
        rate: records a second that it takes out at most; None for no limit.
        purge_every: seconds after which it removes what deletions left on disk; None for never.
        purge_seconds: how long that may take.
        checkpoint_every: seconds from one checkpoint of the audit to the next, at the least.
    """

    interval: float = 60.0
    rate: float | None = None
    purge_every: float | None = 86_400.0
    purge_seconds: float = 5.0
    checkpoint_every: float = 60.0


Work = Callable[[Callable[[int], Awaitable[bool]], float | None], Awaitable[SweepReport]]
"""Does one pass: is told what to await between batches, and how long to purge, None for not at all."""


class Worker:
    """Goes through one tenant's data again and again."""

    def __init__(
        self,
        work: Work,
        rhythm: Rhythm,
        *,
        say: Callable[[SweepReport | Exception], None],
        checkpoint: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Take what does a pass, how it is done, and what is told of each.

        Args:
            work: does a pass.
            rhythm: how often and how fast.
            say: is given each pass's report, or why there is none.
            checkpoint: puts a checkpoint of the audit down, if there is something new; None for no checkpoints.
        """
        self._checkpoint = checkpoint
        self._checkpoint_at = time.monotonic() - rhythm.checkpoint_every
        self._work = work
        self._rhythm = rhythm
        self._say = say
        self._stopping = asyncio.Event()
        self._purged_at = time.monotonic()

    def stop(self) -> None:
        """End after the batch that is under way."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until told to stop.

        A store that does not answer is tried again, and so is a place for backups that is gone; what is damaged is
        told, and left.
        """
        while not self._stopping.is_set():
            try:
                self._say(await self.once())
            except _PASSING as exc:
                self._say(exc)
            wait = self._rhythm.interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (no secret)
            await self._rest(wait)

    async def once(self) -> SweepReport:
        """Do one pass."""
        purge_every, now = self._rhythm.purge_every, time.monotonic()
        purges = purge_every is not None and now - self._purged_at >= purge_every
        report = await self._work(self._pace, self._rhythm.purge_seconds if purges else None)
        if purges:
            self._purged_at = now
        await self._put_checkpoint()
        return report

    async def _put_checkpoint(self) -> None:
        """Put a checkpoint down when it is time; where that fails it is told, and tried again when it is time again."""
        now = time.monotonic()
        if self._checkpoint is None or now - self._checkpoint_at < self._rhythm.checkpoint_every:
            return
        self._checkpoint_at = now
        try:
            await self._checkpoint()
        except (BackendUnavailableError, ConfigurationError, IntegrityError) as exc:
            self._say(exc)

    async def _pace(self, records: int) -> bool:
        """Slow a pass down to its rate; False where it has to end."""
        if self._rhythm.rate is not None and records:
            await self._rest(records / self._rhythm.rate)
        await self._put_checkpoint()
        return not self._stopping.is_set()

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return
