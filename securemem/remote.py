"""Calls to a server: a time limit on every one, another try with jitter where the connection failed, a circuit.

A call that failed for the connection's sake may have been carried out; whoever makes it is told that it is not the
first try, and settles by what stands. After failures on end the circuit opens: for a few seconds calls fail at once,
then one is let through to see.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_before_delay, wait_random_exponential

from securemem.errors import BackendUnavailableError, ConfigurationError, NotReadyError, SecureMemError

T = TypeVar("T")
C = TypeVar("C", bound=Hashable)

_FIRST_WAIT, _LONGEST_WAIT = 0.02, 1.0
_FAILURES, _OPEN_SECONDS = 3, 2.0
_ONE_TRY = "0"


class Failure(NamedTuple):
    """A driver's error as one of ours, and whether another try may go better."""

    error: SecureMemError
    passing: bool


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for, in seconds: one try, and all tries of a call together, which is no less.

    Attributes:
        once: whether a call has but one try, for whoever makes it has somebody else to ask.
    """

    attempt: float = 5.0
    whole: float = 15.0
    once: bool = False

    @classmethod
    def of(cls, options: Mapping[str, str], timeout: float | None = None) -> Patience:
        """Read a URL's settings, `timeout` and `patience`, which is 0 for one try alone.

        Args:
            options: of the URL.
            timeout: of one try, where the options say nothing; None for the default.

        Raises:
            ConfigurationError: one is no number, or out of range.
        """
        attempt = number(options, "timeout", timeout or cls.attempt, least=0.01)
        if options.get("patience") == _ONE_TRY:
            return cls(attempt, attempt, once=True)
        whole = number(options, "patience", cls.whole, least=0.01)
        return cls(min(attempt, whole), whole)


class _Passing(Exception):  # noqa: N818  (it says what failed, and is never seen outside)
    """An attempt that failed and may go better."""

    def __init__(self, error: SecureMemError, *, silent: bool) -> None:
        super().__init__()
        self.error = error
        self.silent = silent


class Circuit:
    """Opens after failures on end, and lets one call through when its time is over.

    Attributes:
        failures: how many calls have failed on end.
    """

    def __init__(self) -> None:
        self.failures = 0
        self._until = 0.0

    def check(self, name: str) -> None:
        """Fail at once while the circuit is open.

        Raises:
            BackendUnavailableError: it is.
        """
        if self.failures < _FAILURES:
            return
        now = time.monotonic()
        if now < self._until:
            raise BackendUnavailableError(f"{name} did not answer {self.failures} times on end; tried again shortly")
        self._until = now + _OPEN_SECONDS  # whoever comes meanwhile does not wait for this one

    def succeeded(self) -> None:
        """Close it."""
        self.failures = 0

    def failed(self) -> None:
        """Count a call that failed after all its tries."""
        self.failures += 1
        self._until = time.monotonic() + _OPEN_SECONDS


class Watch(Generic[C]):
    """Ends calls that take too long: one timer for all of them, for a timer each would be a good part of a call."""

    def __init__(self, expire: Callable[[C], object]) -> None:
        """Say how a call is ended, of what it is known by."""
        self._expire = expire
        self._until: dict[C, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, call: C, seconds: float) -> None:
        """Let a call end in so many seconds."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer, self._until = loop, None, {}
        until = self._until[call] = loop.time() + seconds
        if self._timer is None or until < self._timer.when():
            self._look_at(until)

    def end(self, call: C) -> bool:
        """Take no more notice of a call; tells whether it was in time."""
        return self._until.pop(call, None) is not None

    def _look_at(self, moment: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(moment, self._look)

    def _look(self) -> None:
        """Let those expire whose time is up, and look again when the next one's is."""
        self._timer, now = None, asyncio.get_running_loop().time()
        for call in [call for call, until in self._until.items() if until <= now]:
            del self._until[call]
            self._expire(call)
        if self._until:
            self._look_at(min(self._until.values()))


class Remote:
    """One server, as calls to it are made."""

    def __init__(
        self,
        name: str,
        translate: Callable[[Exception], Failure | None],
        patience: Patience,
        failed: Callable[[Exception], object] = lambda _: None,
    ) -> None:
        """Say what is called.

        Args:
            name: the server, for errors; with no password in it.
            translate: gives a driver's error as one of ours; None for what is not a driver's.
            patience: how long it is waited for.
            failed: is told what a try failed of before the next one; a TimeoutError where it took too long.
        """
        self.name = name
        self._translate = translate
        self._failed = failed
        self._patience = patience
        self._circuit = Circuit()
        self._watch: Watch[asyncio.Timeout] = Watch(_expire)

    @property
    def well(self) -> bool:
        """Whether the last call got its answer."""
        return not self._circuit.failures

    async def call(self, attempt: Callable[[bool], Awaitable[T]], *, since: float | None = None) -> T:
        """Make a call, again where the connection failed, if it may have more than one try.

        Args:
            attempt: makes it once; is told whether an earlier try may have been carried out.
            since: from when all tries together are counted, by the monotonic clock; now if not given.

        Raises:
            BackendUnavailableError: there was no answer in time, or the server refuses for now.
            ConfigurationError: it refuses for good.
        """
        self._circuit.check(self.name)
        began = time.monotonic() if since is None else since
        try:
            result = await self._once(attempt, began, again=False)
        except _Passing as first:
            return await self._again(attempt, began, first)
        if self._circuit.failures:
            self._circuit.succeeded()
        return result

    async def go_on(self, attempt: Callable[[bool], Awaitable[T]], failed: Exception, *, since: float) -> T:
        """Go on with a call as `call` does, whose first try was made by the caller, and failed.

        Args:
            attempt: as `call`.
            failed: what that try raised; a TimeoutError where it took as long as one may.
            since: when it began.
        """
        return await self._again(attempt, since, self._passing(failed, since))

    async def _again(self, attempt: Callable[[bool], Awaitable[T]], since: float, first: _Passing) -> T:
        if self._patience.once:
            self._circuit.failed()
            raise first.error
        tries = AsyncRetrying(
            stop=stop_before_delay(self._left(since) - _FIRST_WAIT),
            wait=wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT),
            retry=retry_if_exception_type(_Passing),
            reraise=True,
        )
        await asyncio.sleep(_FIRST_WAIT)
        try:
            result: T = await tries(self._once, attempt, since, again=True)
        except _Passing as last:
            self._circuit.failed()
            if last.silent and not first.silent:  # for the last one there was no time perhaps
                raise first.error from last.error
            raise last.error from first.error
        self._circuit.succeeded()
        return result

    def _left(self, since: float) -> float:
        """Give how long all tries of a call may still take that began then."""
        return since + self._patience.whole - time.monotonic()

    async def _once(self, attempt: Callable[[bool], Awaitable[T]], since: float, *, again: bool) -> T:
        """Try once, for no longer than all tries together may take."""
        seconds = min(self._patience.attempt, max(self._left(since), _FIRST_WAIT))
        try:
            async with asyncio.timeout(None) as limit:
                self._watch.begin(limit, seconds)
                try:
                    return await attempt(again)
                finally:
                    self._watch.end(limit)
        except Exception as exc:
            raise self._passing(exc, since) from exc

    def _passing(self, exc: Exception, since: float) -> _Passing:
        """Give what a try raised that may go better the next time, and raise what will not.

        Args:
            exc: what it raised.
            since: when the first try of the call began.
        """
        if isinstance(exc, TimeoutError):
            seconds = time.monotonic() - since
            failure: Failure | None = Failure(
                BackendUnavailableError(f"{self.name} did not answer within {seconds:.2g} s"), True
            )
        else:
            failure = self._translate(exc)
        if failure is None:
            raise exc
        failure.error.__cause__ = exc
        if not failure.passing:
            raise failure.error from exc
        self._failed(exc)
        return _Passing(failure.error, silent=isinstance(exc, TimeoutError))


def _expire(limit: asyncio.Timeout) -> None:
    limit.reschedule(asyncio.get_running_loop().time())


def went_back(name: str) -> NotReadyError:
    """Give the error of a server that has a store of an older state than this process has seen."""
    return NotReadyError(
        f"{name} went back to an older state while the store was open: a restart or a failover has lost "
        "what it had acknowledged. Open the store anew, which brings it up to date"
    )


def number(options: Mapping[str, str], name: str, default: float, *, least: float) -> float:
    """Give a number among a URL's settings.

    Raises:
        ConfigurationError: it is none, or too small.
    """
    try:
        value = float(options.get(name, default))
    except ValueError:
        value = -1.0
    if not least <= value < 1e9:  # noqa: PLR2004  (NaN and infinity are none either)
        raise ConfigurationError(f"{name} has to be a number, at least {least:g}")
    return value
