"""What can be done at the same moment, and the errors that each may raise; every other one is a failure."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from securemem import ConflictError, InvalidInputError, LegalHoldError, Message, Session, UserErasedError
from securemem.errors import UserRestrictedError
from securemem.privacy.tokens import TOKEN

from .told import Act, Kind, Place, Read, Said, Span, Told
from .world import World

PEOPLE = ("ann", "ben", "cy")
SESSIONS = ("x", "y")
FORKS = ("x", "y", "z")
_TAGS = {Kind.PLAIN: {}, Kind.INVOICE: {"tags": ["invoice"]}, Kind.SCRATCH: {"tags": ["scratch"]}}
_ADDRESSES = 0.5
T = TypeVar("T")


@dataclass
class Stage:
    """One run: the stores, what was asked for, and the handles that are open in each process."""

    world: World
    told: Told
    rng: random.Random
    mark: str = ""
    handles: dict[tuple[int, Place], Session] = field(default_factory=dict)
    opened: dict[tuple[int, Place], int] = field(default_factory=dict)

    @property
    def people(self) -> list[str]:
        """Who there is."""
        return [self.mark + name for name in PEOPLE]

    def person(self) -> str:
        """Draw somebody."""
        return self.rng.choice(self.people)

    def place(self) -> Place:
        """Draw a session."""
        return self.person(), self.rng.choice(SESSIONS)

    def process(self) -> int:
        """Draw a process."""
        return self.rng.randrange(len(self.world.processes))

    def text(self) -> str:
        """Give a text that was not said yet; where there are pseudonyms, now and then one that is put under one."""
        text = f"{self.mark}m{len(self.told.said)}"
        return f"{text}@example.com" if self.world.pseudonymises and self.rng.random() < _ADDRESSES else f"{text}."

    def handle(self, process: int, place: Place) -> Session:
        """Give the handle that a process has open of a session, or open one; now and then a new one."""
        if (process, place) not in self.handles or self.rng.random() < 0.3:
            owner, session = place
            self.handles[process, place] = self.world.processes[process].session(session, user_id=owner)
        return self.handles[process, place]


async def _ended(span: Span, told: Told, call: Awaitable[T], *refusals: type[Exception]) -> T | None:
    """Wait for something, and write down when it ended and how."""
    try:
        answer = await call
        span.outcome = "done"
    except asyncio.CancelledError:
        span.outcome = "cancelled"
        raise
    except refusals:
        span.outcome = "refused"
        return None
    else:
        return answer
    finally:
        span.ended = told.now()


async def add(
    stage: Stage, place: Place | None = None, kind: Kind | None = None, *, process: int | None = None
) -> None:
    """Say something, or several things at once, as the owner or as guests."""
    rng, told = stage.rng, stage.told
    place = place or stage.place()
    chat = stage.handle(stage.process() if process is None else process, place)
    said = []
    for _ in range(rng.choice((1, 1, 2))):
        subject = place[0] if rng.random() < 0.6 else stage.person()
        which = kind or (Kind.INVOICE if rng.random() < 0.25 else Kind.PLAIN)
        text = stage.text()
        told.said[text] = Said(told.now(), text=text, subject=subject, place=place, kind=which)
        said.append(told.said[text])
    messages = [Message("user", each.text, user_id=each.subject, metadata=dict(_TAGS[each.kind])) for each in said]
    span = Span(told.now())
    try:
        await _ended(span, told, chat.add_many(messages), UserErasedError, ConflictError)
    finally:
        for each in said:
            each.ended, each.outcome = span.ended, span.outcome


async def rest_on(stage: Stage) -> None:
    """Say something that rests on what was read, as an agent's turn does: under the handle that was read."""
    place, process = stage.place(), stage.process()
    chat = stage.handle(process, place)
    await _read(stage, chat, place, process)
    if chat.handle is None:
        return
    text = stage.text()
    said = stage.told.said[text] = Said(stage.told.now(), text=text, subject=place[0], place=place)
    call = chat.add_many([Message("assistant", text)], handle=chat.handle)
    await _ended(said, stage.told, call, UserErasedError, ConflictError)


async def read(stage: Stage) -> None:
    """Read a session."""
    place, process = stage.place(), stage.process()
    await _read(stage, stage.handle(process, place), place, process)


async def _read(stage: Stage, chat: Session, place: Place, process: int) -> list[Message]:
    found = Read(stage.told.now(), place=place, lagging=process in stage.world.lagging)
    stage.told.reads.append(found)
    messages = await _ended(found, stage.told, chat.history(), UserErasedError, UserRestrictedError)
    found.texts = said_in(messages or [])
    return messages or []


def said_in(messages: list[Message]) -> list[str]:
    """Give the texts of messages, but for pseudonyms whose person was erased meanwhile: these say nothing."""
    return [str(message.content) for message in messages if not TOKEN.fullmatch(str(message.content))]


async def fork(stage: Stage) -> None:
    """Copy a session into another of the same person."""
    owner, session = stage.place()
    to = stage.rng.choice([each for each in FORKS if each != session])
    act = Act(stage.told.now(), person=owner, session=to)
    stage.told.forks.append(act)
    chat = stage.handle(stage.process(), (owner, session))
    refusals = (UserErasedError, ConflictError, InvalidInputError, UserRestrictedError)
    await _ended(act, stage.told, chat.fork(to), *refusals)


async def rectify(stage: Stage) -> None:
    """Put another content in place of a message's: one that was not said before takes its place in what is told."""
    place, process = stage.place(), stage.process()
    chat = stage.handle(process, place)
    found = [each for each in await _read(stage, chat, place, process) if str(each.content) in stage.told.said]
    mine = [each for each in found if stage.told.said[str(each.content)].place == place]
    if not mine:
        return
    old = stage.rng.choice(mine)
    was, text = stage.told.said[str(old.content)], stage.text()
    said = Said(stage.told.now(), text=text, subject=was.subject, place=place, kind=was.kind)
    stage.told.said[text] = said
    was.versions.append(said)
    said.versions = was.versions
    refusals = (InvalidInputError, LegalHoldError, UserErasedError, UserRestrictedError, ConflictError)
    await _ended(said, stage.told, chat.rectify(old.seq or 0, text, purge_seconds=0), *refusals)


async def erase(stage: Stage) -> None:
    """Erase a person."""
    process, person = stage.process(), stage.person()
    act = Act(stage.told.now(), person=person, process=process)
    stage.told.erasures.append(act)
    try:
        await _ended(act, stage.told, stage.world.processes[process].erase_user(person, purge_seconds=0))
    except LegalHoldError:
        act.outcome = "held"


async def clear(stage: Stage) -> None:
    """Clear a session; where a hold is on it, nothing is destroyed."""
    place = stage.place()
    act = Act(stage.told.now(), person=place[0], session=place[1])
    stage.told.clears.append(act)
    chat = stage.handle(stage.process(), place)
    await _ended(act, stage.told, chat.clear(purge_seconds=0), LegalHoldError, UserErasedError)


async def hold(stage: Stage) -> None:
    """Place a hold on all of a person, or on a session; now and then release it again."""
    person, session = stage.person(), stage.rng.choice((None, None, *SESSIONS))
    act = Act(stage.told.now(), person=person, session=session)
    stage.told.holds.append(act)
    holds = stage.world.processes[stage.process()].holds
    call = holds.place(person, session_id=session, reason_code="CASE-1")
    placed = await _ended(act, stage.told, call, InvalidInputError)
    if placed is not None:
        act.id = placed.id
        if stage.rng.random() < 0.4:
            await release(stage, act)


async def release(stage: Stage, act: Act | None = None) -> None:
    """Release a hold."""
    standing = [each for each in stage.told.holds if each.done and each.id and each.ending is None]
    act = act or (stage.rng.choice(standing) if standing else None)
    if act is not None:
        act.ending = Span(stage.told.now())
        holds = stage.world.processes[stage.process()].holds
        await _ended(act.ending, stage.told, holds.release(act.id))


async def restrict(stage: Stage) -> None:
    """Restrict a person; now and then lift that again."""
    person, memory = stage.person(), stage.world.processes[stage.process()]
    act = Act(stage.told.now(), person=person)
    stage.told.restrictions.append(act)
    await _ended(act, stage.told, memory.restrict_user(person), InvalidInputError)
    if stage.rng.random() < 0.4:
        ending = Span(stage.told.now())
        for each in stage.told.restrictions:
            if each.person == person:
                each.ending = each.ending or ending
        await _ended(ending, stage.told, memory.lift_restriction(person), InvalidInputError)


async def evict(stage: Stage) -> None:
    """Let a process lose all keys that it has in memory, whoever uses them."""
    deployment = stage.world.processes[stage.process()].host.deployment
    if deployment is not None:
        deployment.keyring.held.clear()


async def sweep(stage: Stage) -> None:
    """Let a worker pass."""
    act = Act(stage.told.now())
    stage.told.sweeps.append(act)
    await _ended(act, stage.told, stage.world.processes[stage.process()].sweep(purge_seconds=0))


Deed = Callable[[Stage], Awaitable[None]]
DEEDS: dict[Deed, int] = {
    add: 6, rest_on: 2, read: 3, fork: 3, erase: 4, clear: 2, rectify: 2, hold: 2, release: 1, restrict: 1, sweep: 1,
    evict: 2,
}  # fmt: skip
"""With how often each is drawn."""
