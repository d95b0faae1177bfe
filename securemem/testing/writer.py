"""A process that writes to a store, to be raced against others or killed: `python -m securemem.testing.writer PLAN`.

PLAN is JSON: see `Plan`. The process says `ready` once it has imported everything, waits for a line, and then opens the
store. After every acknowledged append it writes a line of JSON `[session, [seq, …], [text, …]]`, before the next one;
an error ends it with a line `{"error": …}`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from dataclasses import asdict, dataclass, field
from typing import Any

from securemem.errors import SecureMemError
from securemem.memory import SecureMemory
from securemem.model import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a writer does.

    Attributes:
        url: the store.
        writer: its name, which every text begins with.
        sessions: where it writes, in turn; each belongs to a user of the same name.
        appends: how many appends it makes, or None to go on until it is killed.
        batch: how many messages each append has.
        options: more for `SecureMemory.open`.
    """

    url: str
    writer: str
    sessions: tuple[str, ...]
    appends: int | None
    batch: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Give the plan as the command takes it."""
        return json.dumps(asdict(self))

    def text(self, append: int, place: int) -> str:
        """Give the text of one message: writer, number of the append, place in it."""
        return f"{self.writer}:{append}:{place}"


def _say(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _write(plan: Plan) -> None:
    async with SecureMemory.open(plan.url, **plan.options) as memory:
        sessions = [memory.session(name) for name in plan.sessions]
        numbers = itertools.count() if plan.appends is None else range(plan.appends)
        for number in numbers:
            session = sessions[number % len(sessions)]
            texts = [plan.text(number, place) for place in range(plan.batch)]
            stored = await session.add_many([Message("user", text) for text in texts])
            _say([session.session_id, [message.seq for message in stored], texts])


def main() -> int:
    """Do what the plan says."""
    plan = Plan(**json.loads(sys.argv[1]))
    _say("ready")
    sys.stdin.readline()
    try:
        asyncio.run(_write(plan))
    except SecureMemError as exc:
        _say({"error": f"{type(exc).__name__}: {exc}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
