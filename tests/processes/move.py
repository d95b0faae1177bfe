"""A process that moves a tenant to another server, and may end itself with SIGKILL before its n-th step.

Arguments: url, options as JSON, server, n (0: never). It says `ready`, waits for a line, opens the store and says
`begun`, moves the tenant and says how many steps it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from securemem import SecureMemory
from securemem.backends.postgres import PostgresBackend
from securemem.backends.sqlite import SqliteBackend
from securemem.keys import routes
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.ledger.moves import Moves
from securemem.testing.steps import Steps

STEPS: list[tuple[type, str]] = [
    *((backend, name) for backend in (PostgresBackend, SqliteBackend) for name in ("swap", "delete", "stamp", "purge")),
    *((SqliteKeystore, name) for name in ("set_route", "raise_floors", "stamp")),
    *((Moves, name) for name in ("begin", "finish")),
]


def say(line: object) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def move(url: str, options: dict[str, Any], server: str, last: int) -> None:
    """Open the store and move its tenant."""
    routes.ROUTE_SECONDS = 0.02
    async with SecureMemory.open(url, **options) as memory:
        counter = Steps(last)
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
