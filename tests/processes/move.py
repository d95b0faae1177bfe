"""A process that moves a tenant to another server, and may end itself with SIGKILL before its n-th step.

Arguments: url, options as JSON, server, n (0: never). It says `ready`, waits for a line, opens the store and says
`begun`, moves the tenant and says how many steps it took.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from securemem import SecureMemory
from securemem.backends.postgres import PostgresBackend
from securemem.backends.sqlite import SqliteBackend
from securemem.keys import routes
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.ledger.moves import Moves

STEPS: list[tuple[type, str]] = [
    *((backend, name) for backend in (PostgresBackend, SqliteBackend) for name in ("swap", "delete", "stamp", "purge")),
    *((SqliteKeystore, name) for name in ("set_route", "raise_floors", "stamp")),
    *((Moves, name) for name in ("begin", "finish")),
]


class Counter:
    """Counts steps, and ends the process before the one that was asked for."""

    def __init__(self, last: int) -> None:
        self.count = 0
        self._last = last

    def watch(self, where: type, name: str) -> None:
        """Count every call of a method."""
        real: Callable[..., Awaitable[Any]] = getattr(where, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.count += 1
            if self.count == self._last:
                os.kill(os.getpid(), signal.SIGKILL)
            return await real(*arguments, **options)

        setattr(where, name, counted)


def say(line: object) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def move(url: str, options: dict[str, Any], server: str, last: int) -> None:
    """Open the store and move its tenant."""
    routes.ROUTE_SECONDS = 0.02
    async with SecureMemory.open(url, **options) as memory:
        counter = Counter(last)
        for where, name in STEPS:
            counter.watch(where, name)
        say("begun")
        await memory.tenants.move(server)
        say(counter.count)


def main() -> None:
    """Do what the arguments say."""
    say("ready")
    sys.stdin.readline()
    url, options, server, last = sys.argv[1:]
    asyncio.run(move(url, json.loads(options), server, int(last)))


if __name__ == "__main__":
    main()
