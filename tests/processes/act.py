"""A process that does one act on a store, and may end itself with SIGKILL before its n-th step.

Arguments: url, act (clear, erase, rotate, close, rectify), n (0: never). It says `ready`, waits for a line, opens the
store and says `begun`, does the act and says how many steps it took.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from securemem import SecureMemory
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.kms.file import FileKms
from securemem.ledger.store import Ledger
from securemem.sqlitefile import SqliteFile
from securemem.testing.steps import Steps

STEPS: list[tuple[type, str]] = [
    (SqliteFile, "write"),
    (SqliteFile, "_repeat"),  # before the file is rewritten, and before its log is cut
    (Ledger, "begin"),
    (Ledger, "add_tombstones"),
    (Ledger, "settled"),
    (Ledger, "finish"),
    (SqliteKeystore, "backup"),
    (FileKms, "create_epoch"),
    (FileKms, "destroy_epoch"),
]


def say(line: object) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def act(url: str, what: str, last: int) -> None:
    """Open the store and do the act."""
    folder = Path(url.removeprefix("sqlite:///")).parent
    async with SecureMemory.open(url) as memory:
        await memory.session("warm", user_id="warm").add("user", "so that everything is imported")
        await memory.session("warm", user_id="warm").clear()
        counter = Steps(last)
        for where, name in STEPS:
            counter.watch(where, name)
        say("begun")
        if what == "clear":
            await memory.session("one", user_id="ann").clear()
        elif what == "erase":
            await memory.erase_user("ann")
        elif what == "rectify":
            await memory.session("one", user_id="ann").rectify(1, "put right")
        elif what == "rotate":
            await memory.keys.rotate()
        else:
            await memory.keys.close_epoch(backup=folder / f"backup {os.getpid()}.db")
        say(counter.count)


def main() -> None:
    """Do what the arguments say."""
    say("ready")
    sys.stdin.readline()
    asyncio.run(act(sys.argv[1], sys.argv[2], int(sys.argv[3])))


if __name__ == "__main__":
    main()
