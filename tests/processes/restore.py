"""A process that restores or saves data, and may end itself with SIGKILL before its n-th step.

Arguments: what (restore, backup), the backup's path, url, settings as JSON, n (0: never). It says `ready`, waits for a
line, and says how many steps it took.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from securemem import SecureMemory
from securemem.backends.postgres import PostgresBackend
from securemem.backends.redis import RedisBackend
from securemem.backends.sqlite import SqliteBackend
from securemem.destruction import Destruction
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.ledger.store import Ledger
from securemem.sealedfile import SealedWriter
from securemem.testing.steps import Steps

STEPS: list[tuple[type, str]] = [
    (Ledger, "begin"),
    (Ledger, "finish"),
    (SqliteKeystore, "raise_floors"),
    (SqliteKeystore, "forget_floors"),
    (SqliteKeystore, "stamp"),
    (SqliteBackend, "swap_all"),
    (Destruction, "carry_out"),
    (SealedWriter, "begin"),
    (SealedWriter, "write"),
    (SealedWriter, "finish"),
]


def say(line: object) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def work(what: str, path: str, url: str, settings: dict[str, Any], last: int) -> None:
    """Do it."""
    counter = Steps(last)
    for where, name in STEPS:
        counter.watch(where, name)
    for backend in (SqliteBackend, PostgresBackend, RedisBackend):
        for name in ("stamp", "swap", "delete"):
            counter.watch(backend, name)
    if what == "restore":
        await SecureMemory.restore(path, url, **settings)
    else:
        async with SecureMemory.open(url, **settings) as memory:
            await memory.backup(path)
    say(counter.count)


def main() -> None:
    """Do what the arguments say."""
    say("ready")
    sys.stdin.readline()
    what, path, url, settings, last = sys.argv[1:]
    asyncio.run(work(what, path, url, json.loads(settings), int(last)))


if __name__ == "__main__":
    main()
