"""Models for tests: one that answers from what it is shown, as a real one would, and one that notes what that was."""

from __future__ import annotations

import asyncio
import re
from typing import Any

Shown = list[dict[str, Any]]

_NAME = re.compile(r"[Mm]y name is (\w+)")


async def from_context(messages: Shown) -> str:
    """Answer what can be answered from the messages shown, and nothing else."""
    said = [str(message["content"]) for message in messages if message["role"] != "system"]
    names = [found[1] for text in said for found in [_NAME.search(text)] if found]
    if "my name?" in said[-1]:
        return f"Your name is {names[-1]}" if names else "I don't know your name yet"
    return f"Nice to meet you, {names[-1]}" if names else "Hello"


class Noting:
    """Echoes, and notes what it was shown; fails where it is told to."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self.shown: list[Shown] = []
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.asked = asyncio.Event()

    async def __call__(self, messages: Shown) -> str:
        """Answer `echo: …`, once the gate, if there is one, is open."""
        self.shown.append(messages)
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return f"echo: {messages[-1]['content']}"

    @property
    def texts(self) -> list[str]:
        """What it was shown last."""
        return [str(message["content"]) for message in self.shown[-1]]
