"""Tells whether a new connection leads to the server that was there before, with all that it had.

A process of a server has a name of its own (`run_id`), and what it holds one that changes when it takes over from a
primary or is filled from one (`master_replid`): where both stand nothing that it was sent can have been lost.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

from securemem.redis.checks import parsed
from securemem.redis.node import Node
from securemem.redis.pipe import Pipe
from securemem.redis.refusals import UnsentError


class Encounters:
    """Counts the servers that are met.

    Attributes:
        count: how many that may lack what was written before.
    """

    def __init__(self) -> None:
        """Know none."""
        self.count = 0
        self._known: WeakKeyDictionary[Node, tuple[str | None, str | None]] = WeakKeyDictionary()

    async def note(self, node: Node, pipe: Pipe) -> None:
        """Look whom a connection leads to, before calls use it.

        Raises:
            UnsentError: it does not say.
        """
        [reply] = await pipe.exchange([(b"INFO", b"server", b"replication")])
        if isinstance(reply, Exception):
            raise UnsentError from reply
        facts = parsed(reply)
        met = facts.get("run_id"), facts.get("master_replid")
        if None in met or self._known.get(node) != met:
            self.count += 1
            self._known[node] = met
