"""One run: two workers, then eight, killed and held up at random, under chatting and holds; then what is to be found.

A run is drawn from a seed; what the machine makes of it is not. It gives findings, none where all is well, so that a
control can say what it has to find.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from securemem import SecureMemory
from securemem.errors import IntegrityError, InvalidInputError

from .children import clock_at
from .looking import Death, Sight, deaths, look, rows_of
from .nursery import Forked, Nursery
from .scene import DAY, FIRST, PEOPLE, SECOND, VISITOR, Scene, Written

CLOSED_HEADS = 700_000
"""Milliseconds after which a head that was closed and left may be taken away."""
CREWS = ((FIRST, 2), (SECOND, 8))


class Finding(NamedTuple):
    """What is not as it should be."""

    kind: str
    what: str


class Held(NamedTuple):
    """A hold that was placed: from when, by this machine's clock in milliseconds, and what lay there then."""

    id: str
    since: int
    rows: dict[tuple[str, int], bytes]


@dataclass(slots=True)
class Trouble:
    """What happens to a run.

    Attributes:
        seconds: how long each crew works.
        crews: on which day how many workers come.
        kills: whether they are killed and held up.
        chats: how many chat meanwhile.
        holds: how many holds are placed meanwhile.
        faults: what the workers are made to do wrong.
        finishes: whether there is a last pass that nobody disturbs.
    """

    seconds: tuple[float, float] = (0.05, 0.25)
    crews: Sequence[tuple[int, int]] = CREWS
    kills: bool = True
    chats: int = 1
    holds: int = 2
    faults: Sequence[str] = ()
    finishes: bool = True


@dataclass(slots=True)
class Story:
    """What has happened.

    Attributes:
        workers: all that were started.
        last: those of the last pass, whose leases are long, and whom nobody disturbs.
        chatters: as the workers.
        held: the holds that stand.
        kills: how many workers were killed,
        stops: and how many were stopped for a while.
        undecided: how many sessions workers were killed at, between deciding and having destroyed them.
        again: how many more decisions there were than sessions that were destroyed.
        reported: how many records workers said that they took out, before they were killed.
        died: how many are gone.
    """

    workers: list[Forked] = field(default_factory=list)
    last: list[Forked] = field(default_factory=list)
    chatters: list[Forked] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    kills: int = 0
    stops: int = 0
    undecided: int = 0
    again: int = 0
    reported: int = 0
    died: int = 0


class Run:
    """One run on one store."""

    def __init__(self, nursery: Nursery, scene: Scene, seed: int, trouble: Trouble) -> None:
        """Take where children come from, a store that was filled, and what is to happen."""
        self.nursery = nursery
        self.scene = scene
        self.trouble = trouble
        self.draw = random.Random(seed)
        self.story = Story()
        self.lease = self.draw.choice([0.05, 0.2, 0.2, 0.4])

    async def go(self) -> list[Finding]:
        """Let it happen, and look; what does not verify is a finding, too."""
        try:
            return await self._go()
        except IntegrityError as exc:
            return [Finding("damaged", f"{exc}"), *self._check_children()]

    async def _go(self) -> list[Finding]:
        for day, count in self.trouble.crews:
            await self._crew(day, count)
        await self._last_pass()
        day, _ = self.trouble.crews[-1]
        async with self.scene.place.open(clock_at(day * DAY + CLOSED_HEADS)) as memory:
            self._hear()
            found = await self._check_held(memory)
            for held in self.story.held:
                await memory.holds.release(held.id)
            if self.trouble.finishes and not found:
                await until_quiet(memory)
        if found:
            return [*found, *self._check_children()]
        async with self.scene.place.open(clock_at(day * DAY + 2 * CLOSED_HEADS)) as memory:
            if self.trouble.finishes:
                await until_quiet(memory)  # the heads that were closed when those were
            found += await self._check_all(memory, day)
        return found

    def figures(self) -> Counter[str]:
        """Give what can be counted of it."""
        story = self.story
        says = [line for child in story.chatters for line in child.said() if isinstance(line, list)]
        return Counter(
            runs=1,
            workers=len(story.workers),
            kills=story.kills + sum(count for _, count in self.trouble.crews),
            stops=story.stops,
            undecided=story.undecided,
            again=story.again,
            died=story.died,
            reported=story.reported,
            holds=len(story.held),
            held=sum(len(held.rows) for held in story.held),
            appends=len(says),
        )

    # What happens

    async def _crew(self, day: int, count: int) -> None:
        ahead = day * DAY
        async with self.scene.place.open(clock_at(ahead)) as memory:
            over = time.monotonic() + self.draw.uniform(*self.trouble.seconds) + 0.01 * count
            crew = [await self.worker(ahead) for _ in range(count)]
            chatters = [await self.chatter(ahead, day) for _ in range(self.trouble.chats)]
            holder = asyncio.create_task(self._hold(memory))
            while time.monotonic() < over:
                await asyncio.sleep(self.draw.uniform(0, 0.06))
                if self.trouble.kills:
                    await self._strike(crew, ahead)
            await holder
        for child in (*crew, *chatters):
            child.kill()
        for child in (*crew, *chatters):
            await child.ended()

    async def worker(self, ahead: int, **more: Any) -> Forked:
        """Let somebody work."""
        named = {"place": self.scene.place, "ahead": ahead, "lease": self.lease, "faults": self.trouble.faults}
        child = await self.nursery.start("worker", **(named | more))
        self.story.workers.append(child)
        return child

    async def chatter(self, ahead: int, day: int, appends: int | None = None) -> Forked:
        """Let somebody chat in some of the sessions."""
        some = self.draw.sample(self.scene.sessions, 8)
        named = {"place": self.scene.place, "ahead": ahead, "day": day, "name": f"c{len(self.story.chatters)}"}
        child = await self.nursery.start("chat", sessions=some, appends=appends, **named)
        self.story.chatters.append(child)
        return child

    async def _strike(self, crew: list[Forked], ahead: int) -> None:
        """Kill one, and start another; or stop one for longer than its lease, or shorter."""
        number = self.draw.randrange(len(crew))
        if self.draw.random() < 0.2:
            self.story.stops += 1
            crew[number].signal(signal.SIGSTOP)
            await asyncio.sleep(self.draw.uniform(0, 1.5 * self.lease))
            crew[number].signal(signal.SIGCONT)
            return
        self.story.kills += 1
        crew[number].kill()
        crew[number] = await self.worker(ahead)

    async def _hold(self, memory: SecureMemory) -> None:
        """Place holds at any moment; what lies there when that returned is what has to stay."""
        for _ in range(self.draw.randint(0, self.trouble.holds)):
            await asyncio.sleep(self.draw.uniform(0, 0.12))
            whole = self.draw.random() < 0.4
            user, session, _ = self.draw.choice(self.scene.sessions)
            if whole:
                user = self.draw.choice([*PEOPLE, VISITOR])
            held = await hold(memory, self.scene, user, None if whole else session)
            if held is not None:
                self.story.held.append(held)

    async def _last_pass(self) -> None:
        """Let two workers go through undisturbed, when the leases of the killed ones have run out."""
        if not self.trouble.finishes:
            return
        ahead = self.trouble.crews[-1][0] * DAY + CLOSED_HEADS
        await asyncio.sleep(self.lease)
        # Their leases are long: where one runs out within a decision, another worker makes that again.
        self.story.last = [await self.worker(ahead, passes=2, lease=60.0) for _ in range(2)]
        for child in self.story.last:
            await child.ended()
        async with self.scene.place.open(clock_at(ahead)) as memory:
            await until_quiet(memory)

    # What is found

    def _hear(self) -> None:
        """Take in what the chatters have been told is there."""
        scratch = {(user, session) for user, session, is_scratch in self.scene.sessions if is_scratch}
        for child in self.story.chatters:
            for line in child.said():
                if isinstance(line, list):
                    user, session, handle, seq, text, _ = line
                    self.scene.written[handle, seq] = Written(user, session, text, (user, session) in scratch)

    async def _check_held(self, memory: SecureMemory) -> list[Finding]:
        log = await deaths(self.scene.place.url)
        found = []
        for held in self.story.held:
            now = {session: await rows_of(memory, session) for session in {session for session, _ in held.rows}}
            lost = [place for place, body in held.rows.items() if now[place[0]].get(place[1]) != body]
            late = [death for death in log or () if (death.session, death.seq) in held.rows and death.at > held.since]
            if lost or late:
                found.append(Finding("hold broken", f"{held.id}: {lost} {late}"))
        return found

    async def _check_all(self, memory: SecureMemory, day: float) -> list[Finding]:
        sight, log = await look(memory), await deaths(self.scene.place.url)
        written = self.scene.written
        return [
            *self._check_children(),
            *_check_left(written, sight, day),
            *_check_texts(written, sight, day),
            *_check_deaths(written, log, sight, day, self.story),
            *_check_decisions(self.story, sight),
        ]

    def _check_children(self) -> list[Finding]:
        found = []
        for child in (*self.story.workers, *self.story.chatters):
            errors = [line for line in child.said() if isinstance(line, dict) and "error" in line]
            if errors or child.errors():
                found.append(Finding("error", f"{errors} {child.errors()}"))
        return found


async def hold(memory: SecureMemory, scene: Scene, user: str, session: str | None) -> Held | None:
    """Place a hold, and take down what lies there once it has returned; None where there is nothing to hold."""
    try:
        placed = await memory.holds.place(user, session_id=session, reason_code="CASE-1")
    except InvalidInputError:
        return None
    since = time.time_ns() // 1_000_000 + 1
    rows = {}
    handles = {
        handle
        for (handle, _), each in scene.written.items()
        if (user == VISITOR and each.guest) or (each.user == user and session in (None, each.session))
    }
    for handle in handles:
        for seq, body in (await rows_of(memory, handle)).items():
            each = scene.written.get((handle, seq))
            if user != VISITOR or (each is not None and each.guest):
                rows[handle, seq] = body
    return Held(placed.id, since, rows)


async def until_quiet(memory: SecureMemory) -> None:
    """Go through until nothing is left to do."""
    for _ in range(6):
        report = await memory.retention.work(purge_seconds=None)
        if not (report.records or report.sessions or report.closed_heads):
            return


def _check_left(written: dict[tuple[str, int], Written], sight: Sight, day: float) -> list[Finding]:
    """What lies there is what has to, and no more."""
    wanted = {place for place, each in written.items() if not each.is_gone(day)}
    known = sight.records & written.keys()
    found = []
    if known - wanted:
        found.append(Finding("left", f"past their time: {sorted(known - wanted)[:9]}"))
    if wanted - sight.records:
        found.append(
            Finding("lost", f"{[(place, written[place].text) for place in sorted(wanted - sight.records)][:9]}")
        )
    if sight.counted != len(sight.records) or sight.stray:
        found.append(Finding("stray", f"{sight.counted} records, {len(sight.records)} with keys, {sight.stray} heads"))
    return found


def _check_texts(written: dict[tuple[str, int], Written], sight: Sight, day: float) -> list[Finding]:
    """Every session gives what is not over, in order, and nothing else but what its writer did not live to hear of."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for (_, _seq), each in sorted(written.items(), key=lambda item: (item[1].day, item[0][1])):
        if not each.is_over(day):
            wanted.setdefault((each.user, each.session), []).append(each.text)
    heard = {each.text for each in written.values()}
    found = []
    for place in wanted.keys() | sight.visible.keys():
        shown = sight.visible.get(place)
        if shown is None or [text for text in shown if text in heard] != wanted.get(place, []):
            if shown == [] and place not in wanted:
                continue
            found.append(Finding("texts", f"{place}: {shown}, not {wanted.get(place)}"))
    return found


def _check_deaths(
    written: dict[tuple[str, int], Written], log: list[Death] | None, sight: Sight, day: float, story: Story
) -> list[Finding]:
    """Each record that is gone died once, each stub went once, the audit knew of it, and one worker at most said so."""
    gone = {place for place, each in written.items() if each.is_gone(day)}
    found = []
    if log is not None:
        died = Counter((death.session, death.seq) for death in log if death.was == "record")
        stubs = Counter((death.session, death.seq) for death in log if death.was == "stub")
        twice = [place for counts in (died, stubs) for place, count in counts.items() if count > 1]
        again = [death for death in log if death.became == "record" or (death.was, death.became) == ("stub", "stub")]
        if twice or again:
            found.append(Finding("twice", f"{twice[:9]} {again[:9]}"))
        if died.keys() & written.keys() != gone:
            found.append(Finding("deaths", f"{sorted((died.keys() & written.keys()) ^ gone)[:9]}"))
        gone = set(died)
    by_session = Counter(session for session, _ in gone)
    silent = {session: count for session, count in by_session.items() if sight.audited[session] < count}
    if silent:
        found.append(Finding("audit", f"{silent}"))
    story.died = len(gone)
    story.reported = sum(line["took"] for child in story.workers for line in child.said() if "took" in line)
    # Without a log nobody knows what became of a message whose writer was killed before hearing of it.
    last = [line for child in story.chatters for line in child.said()[-1:] if log is None]
    unheard = sum(isinstance(line, dict) and "adding" in line for line in last)
    if story.reported > len(gone) + unheard:
        found.append(Finding("reported twice", f"{story.reported} of {len(gone)}"))
    return found


def _check_decisions(story: Story, sight: Sight) -> list[Finding]:
    """A session is destroyed by one decision; another has to be of a worker that was killed, or outlived its lease."""
    through, excused, undecided = Counter[str](), Counter[str](), 0
    for child in story.workers:
        last = child in story.last
        deciding: list[str] = []
        for line in child.said():
            if "deciding" in line:
                deciding = line["deciding"]
                excused.update([] if last else deciding)  # of a short lease
            elif "through" in line or "lost" in line:
                through.update(deciding if last and "through" in line else [])
                deciding = []
        undecided += len(deciding)
    found = []
    twice = [session for session, count in through.items() if count > 1]
    more = {session: n for session, n in sight.tombstones.items() if n > max(1, excused[session] + through[session])}
    if twice or more or sight.unfinished:
        found.append(
            Finding("decided twice", f"{twice[:5]} {dict(list(more.items())[:5])} {sight.unfinished} unfinished")
        )
    story.undecided = undecided
    story.again = sum(count - 1 for count in sight.tombstones.values())
    return found
