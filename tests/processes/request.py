"""A process that carries out one request, tells its recipients, and may end itself with SIGKILL before its n-th step.

Arguments: url, policy file, tenant, what (verify, release), the id of the request or the hold, n (0: never). It says
`ready`, waits for a line, does it, and says how many steps it took.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from securemem import SecureMemory
from securemem.ledger.store import Ledger
from securemem.rights import telling
from securemem.testing.steps import Steps


def say(line: object) -> None:
    """Say something to the test."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def act(where: dict[str, Any], what: str, name: str, last: int) -> None:
    """Open the store, and do it."""
    async with SecureMemory.open(**where) as memory:
        deployment = await memory.host.ready()
        steps = Steps(last)
        steps.watch(Ledger, "transact")
        for method in ("swap", "delete", "stamp", "purge"):
            steps.watch(type(deployment.backend), method)
        for method in ("mint", "renew_user", "shred_user", "shred_session", "stamp", "purge"):
            steps.watch(type(deployment.keyring.keystore), method)
        await (memory.requests.verify(name) if what == "verify" else memory.holds.release(name))
        await deployment.office.requesting.tell()
        say(steps.count)


if __name__ == "__main__":
    logging.getLogger("securemem").setLevel(logging.ERROR)  # where the keys lie is no news to the test
    telling.LEASE_SECONDS = 1.0  # whoever comes next need not wait long
    say("ready")
    sys.stdin.readline()
    url, policy, tenant, what, name, last = sys.argv[1:]
    asyncio.run(act({"url": url, "policy": policy, "tenant": tenant}, what, name, int(last)))
