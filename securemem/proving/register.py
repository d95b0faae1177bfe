"""Which runs are under way, so that canaries of one that was killed are erased by the next.

One more person who is not real has a session with the words of all runs under way, sealed as every session is. A run
enters its word before it plants anything, and erases this person when no other is under way.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from securemem.errors import PIIBlockedError
from securemem.ports import Clock
from securemem.proving.plant import Host, people_of

PERSON = "securemem-canaries"
STALE_SECONDS = 3600.0
"""A run that began longer ago is taken to have been killed."""
_SESSION = "runs"
_WORD = re.compile(r"[a-z]{18}\Z")

Erase = Callable[[str], Awaitable[object]]


class Register:
    """The register in one store."""

    def __init__(self, host: Host, clock: Clock, word: str, *, erase: Erase) -> None:
        """Take the store and its clock, the word of this run, and what erases somebody."""
        self._host = host
        self._clock = clock
        self._word = word
        self._erase = erase

    async def begin(self) -> None:
        """Erase what runs that were killed have left, and enter this one."""
        for word, stale in await self._entries():
            if stale:
                for user in people_of(word):
                    await self._erase(user)
        try:
            await self._host.session(_SESSION, user_id=PERSON).add("system", self._word)
        except PIIBlockedError:
            return  # the policy lets no such word in: what a killed run leaves is not found by the next

    async def end(self) -> None:
        """Take this run out, and with the last one the register."""
        if all(stale or word == self._word for word, stale in await self._entries()):
            await self._erase(PERSON)

    async def _entries(self) -> list[tuple[str, bool]]:
        """Give the words of runs, and whether each began long ago."""
        past = self._clock() - timedelta(seconds=STALE_SECONDS)
        messages = await self._host.session(_SESSION, user_id=PERSON).history()
        return [
            (message.content, message.timestamp is None or message.timestamp < past)
            for message in messages
            if isinstance(message.content, str) and _WORD.match(message.content)
        ]
