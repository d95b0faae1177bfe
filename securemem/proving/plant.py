"""People who are not real, and all that a store does with people: written, read, forked, trimmed, expired, cleared.

Each of their texts, ids and names holds one of two marks that occur nowhere else, so that one search finds any of them
in whatever form. What the policy treats, it treats: a text may lie there redacted or under pseudonyms, and is looked
for in clear all the same.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from securemem.compose import Deployment
from securemem.errors import ConfigurationError, PIIBlockedError
from securemem.model import Message
from securemem.policy.rules import facts_of
from securemem.session import Session

BRIEF_SECONDS = 0.2
MOST_TRIMMED = 1000
_CONSONANTS, _VOWELS = "bdfgklmnprtvz", "aeiou"
_SYLLABLES = 9

Saw = Callable[[], Awaitable[None]]


class Host(Protocol):
    """What planting needs of a store."""

    def session(self, session_id: str, *, user_id: str | None = None) -> Session:
        """Give a handle of a session."""


def people_of(word: str) -> list[str]:
    """Give the ids of a run's people, the control last."""
    return [f"canary-{word}-{name}" for name in ("ann", "bob", "cleo")]


class Canaries:
    """The people of one run.

    Attributes:
        marks: what their texts, names and ids hold; the second is not ASCII, so that escapes are looked for too.
        erased: the ids of those who are erased.
        living: the id of the control, who is not until all was searched.
        sessions: (user id, session id) of each session.
    """

    def __init__(self) -> None:
        """Draw what nobody has ever said."""
        word = "".join(secrets.choice(_CONSONANTS) + secrets.choice(_VOWELS) for _ in range(_SYLLABLES))
        self.marks = (word, f"{word[:8]}éß")
        *self.erased, self.living = people_of(word)
        self.sessions: list[tuple[str, str]] = []
        self.planted = self.left_out = 0

    @property
    def people(self) -> tuple[str, ...]:
        """Everybody's ids."""
        return (*self.erased, self.living)

    def contents(self) -> list[Any]:
        """Give what they say, as agents' messages are: words, data, and words in other encodings."""
        word, wide = self.marks
        said = f"My name is Ka{word} Lee, write to {word}.lee@example.com; {wide} is what I call home."
        return [
            f"{word}: what was I saying?",
            said,
            [{"type": "text", "text": said}, {"type": "tool_call", "arguments": json.dumps({"name": said})}],
            base64.b64encode(said.encode()).decode(),
            said.encode().hex(),
        ]


async def allowed(canaries: Canaries, deployment: Deployment) -> list[Any]:
    """Give what may be planted: what no law of the policy keeps, for it could not be erased.

    Raises:
        ConfigurationError: nothing may be.
    """
    rules, privacy = deployment.lives.rules, deployment.privacy
    keeps = any(rule.basis is not None for rule in rules.rules)
    found = []
    for content in canaries.contents():
        seen = await privacy.find_quickly(Message("user", content)) if privacy is not None and keeps else None
        facts = facts_of(entities=seen.entities) if seen is not None else frozenset()
        if not any(rule.basis is not None for rule in rules.matching(facts)):
            found.append(content)
    canaries.left_out = len(canaries.contents()) - len(found)
    if not found:
        raise ConfigurationError(
            "the policy keeps by law whatever the canaries could say, so that they could not be erased; nothing was "
            "planted: prove the erasure under a policy that has no keep for all messages"
        )
    return found


async def plant(host: Host, canaries: Canaries, contents: list[Any], *, max_messages: int, saw: Saw) -> None:
    """Write to a store, use it, and have all that is sealed there noted before anything of it goes.

    Args:
        host: the store.
        canaries: who they are.
        contents: what they say.
        max_messages: how many the store keeps of a session.
        saw: takes in what lies there now.

    Raises:
        ConfigurationError: the policy refused all that was to be planted.
    """
    ann, bob, cleo = canaries.people
    planting = _Planting(host, canaries)
    for user in (ann, bob, cleo):
        for content in contents:
            await planting.add(user, "talk", content, metadata={"channel": canaries.marks[0]})
        await planting.add(user, "second", contents[0])
    if not canaries.planted:
        raise ConfigurationError("the policy refuses all that the canaries could say; nothing was planted")
    for guest, owner in ((ann, bob), (bob, ann), (ann, cleo), (bob, cleo)):
        await planting.add(owner, "talk", contents[0], guest=guest)
    await planting.add(cleo, "talk", contents[0])
    await saw()
    await planting.fork(ann)
    await planting.expire(ann, contents[0], saw)
    if max_messages <= MOST_TRIMMED:
        await planting.trim(ann, contents[0], max_messages, saw)
    await planting.add(ann, "cleared", contents[0])
    await saw()
    await host.session("cleared", user_id=ann).clear()
    for user, session in canaries.sessions:
        await host.session(session, user_id=user).history()
        await host.session(session, user_id=user).context()
    await saw()


class _Planting:
    """Writes what the policy lets in."""

    def __init__(self, host: Host, canaries: Canaries) -> None:
        self._host = host
        self._canaries = canaries

    def _session(self, user: str, session: str) -> Session:
        if (user, session) not in self._canaries.sessions:
            self._canaries.sessions.append((user, session))
        return self._host.session(session, user_id=user)

    async def add(
        self,
        user: str,
        session: str,
        content: Any,
        *,
        guest: str | None = None,
        ttl: float | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Add a message, unless the policy blocks it."""
        chat = self._session(user, session)
        try:
            await chat.add_many([Message("user", content, user_id=guest, metadata=metadata)], ttl=ttl)
        except PIIBlockedError:
            self._canaries.left_out += 1
        else:
            self._canaries.planted += 1

    async def fork(self, user: str) -> None:
        """Fork their talk."""
        await self._host.session("talk", user_id=user).fork("branch")
        self._canaries.sessions.append((user, "branch"))

    async def expire(self, user: str, content: Any, saw: Saw) -> None:
        """Let a message end, and write after it."""
        await self.add(user, "brief", content, ttl=BRIEF_SECONDS)
        await saw()
        await asyncio.sleep(2 * BRIEF_SECONDS)
        await self.add(user, "brief", content)

    async def trim(self, user: str, content: Any, count: int, saw: Saw) -> None:
        """Write more than a session keeps."""
        chat = self._session(user, "long")
        try:
            await chat.add_many([Message("user", content)] * count)
            await saw()
            await chat.add_many([Message("assistant", content)] * min(count, 3))
        except PIIBlockedError:
            self._canaries.left_out += 1
