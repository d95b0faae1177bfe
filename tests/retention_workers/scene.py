"""Where crash runs take place: a policy, many sessions of several people, and what has to become of each message.

Every text says what it is: kind, the day on which it was said, and a name that no other has. How long a kind lives
stands in a table of its own here, so that the library's word is not taken for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from securemem import Message, SecureMemory
from securemem.policy import Policy
from securemem.policy.load import parse

DAY = 86_400_000
"""Milliseconds."""
FIRST, SECOND = 5, 40
"""The days on which the first workers come, and the second."""
VISITOR = "visitor"
"""Who says something in other people's sessions."""
PEOPLE = ("ann", "bob", "cleo", "dan")

_TEXT = """apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: crash}
defaults: {ttl: 90d}
rules:
  - {id: scratch, match: {session_tag: scratch}, ttl: 1d}
  - {id: notes, match: {tag: note}, ttl: 2d}
  - {id: month, match: {tag: month}, ttl: 20d}
  - id: invoices
    match: {tag: invoice}
    ttl: 3d
    keep_for: 1y
    keep_basis: {article: gdpr-17-3-b}
    while_kept: restrict
"""
POLICY: Policy = parse(_TEXT, "crash.yaml", hashlib.sha256(_TEXT.encode()).hexdigest())

_STRICTER = _TEXT.replace("ttl: 90d", "ttl: 30d").replace("rules:", "safety: {after_change: plan_only}\nrules:")
STRICTER: Policy = parse(_STRICTER, "stricter.yaml", hashlib.sha256(_STRICTER.encode()).hexdigest())
"""Another policy, which waits until it is put in force."""

KINDS: dict[str, tuple[str | None, float | None]] = {
    "long": (None, None),
    "note": ("note", None),
    "month": ("month", None),
    "own": (None, 3600.0),
    "invoice": ("invoice", None),
}
"""The tag and the caller's own ttl of each kind of message."""
_DAYS = {"long": 90.0, "note": 2.0, "month": 20.0, "own": 1 / 24, "invoice": 3.0}


def tags_of(kind: str) -> list[str]:
    """Give the tags of a kind of message."""
    tag, _ = KINDS[kind]
    return [tag] if tag is not None else []


class Place(NamedTuple):
    """Where a store lies; a list in JSON."""

    url: str
    options: dict[str, Any]

    def open(self, clock: Callable[[], datetime], policy: Policy = POLICY) -> SecureMemory:
        """Give the store."""
        return SecureMemory.open(self.url, clock=clock, policy=policy, max_messages=10_000, **self.options)


@dataclass(frozen=True, slots=True)
class Written:
    """A message that was acknowledged."""

    user: str
    session: str
    text: str
    scratch: bool
    guest: bool = False

    @property
    def kind(self) -> str:
        """What it is."""
        return self.text.split(":")[0]

    @property
    def day(self) -> int:
        """When it was said."""
        return int(self.text.split(":")[1])

    def is_over(self, day: float) -> bool:
        """Tell whether nobody reads it any more."""
        return day - self.day >= min(_DAYS[self.kind], 1.0 if self.scratch else 1000.0)

    def is_gone(self, day: float) -> bool:
        """Tell whether nothing may be left of it."""
        return self.is_over(day) and self.kind != "invoice"


@dataclass(slots=True)
class Scene:
    """A store that was filled.

    Attributes:
        place: where.
        sessions: user, session id, and whether it is a scratch session.
        written: what lies where: by session handle in hex, and seq.
    """

    place: Place
    sessions: list[tuple[str, str, bool]] = field(default_factory=list)
    written: dict[tuple[str, int], Written] = field(default_factory=dict)

    def copy(self, place: Place) -> Scene:
        """Give the same at another place."""
        return Scene(place, list(self.sessions), dict(self.written))


def _kinds(draw: random.Random) -> list[str]:
    """Draw what a session holds: all of it over one day, some of it, or nothing."""
    count = draw.choice([1, 2, 3, 6])
    among = draw.choice([["note"], ["month"], ["note", "own", "month"], list(KINDS), list(KINDS), ["long", "invoice"]])
    return [draw.choice(among) for _ in range(count)]


async def fill(place: Place, clock: Callable[[], datetime], seed: int, *, count: int = 36) -> Scene:
    """Make a store, on day 0."""
    draw, scene = random.Random(seed), Scene(place)
    plans = []
    for number in range(count):
        kinds = _kinds(draw) if number else ["note"] * 205 + ["long"]  # one that takes two changes
        scratch = number > 0 and draw.random() < 0.25
        scene.sessions.append((draw.choice(PEOPLE), f"s{number}", scratch))
        plans.append(([(kind, draw.random() < 0.15) for kind in kinds], scene, scene.sessions[-1]))
    async with place.open(clock) as memory:
        keyring = (await memory.host.ready()).keyring
        await asyncio.gather(*(_fill(memory, *plan) for plan in plans))
        scene.written = {
            (keys.handle.hex(), seq): written
            for user, session, _ in scene.sessions
            if (keys := await keyring.find(user, session)) is not None
            for (name, seq), written in scene.written.items()
            if name == session
        }
    return scene


async def _fill(
    memory: SecureMemory, kinds: list[tuple[str, bool]], scene: Scene, place: tuple[str, str, bool]
) -> None:
    user, session, scratch = place
    chat = memory.session(session, user_id=user, tags=("scratch",) if scratch else ())
    runs: list[list[tuple[str, bool]]] = []
    for kind, guest in kinds:  # messages with a ttl of their own go apart from the others
        if runs and KINDS[runs[-1][0][0]][1] == KINDS[kind][1]:
            runs[-1].append((kind, guest))
        else:
            runs.append([(kind, guest)])
    number = 0
    for run in runs:
        messages = []
        for kind, guest in run:
            number += 1
            user_id = VISITOR if guest else None
            text, metadata = f"{kind}:0:{session}.{number}", {"tags": tags_of(kind)}
            messages.append(Message("user", text, metadata=metadata, user_id=user_id))
        stored = await chat.add_many(messages, ttl=KINDS[run[0][0]][1])
        for message, (_, guest) in zip(stored, run, strict=True):
            assert message.seq is not None
            scene.written[session, message.seq] = Written(user, session, str(message.content), scratch, guest)
