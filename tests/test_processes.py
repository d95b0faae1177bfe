"""Several processes write to one file or server: nothing is lost, doubled, reordered or refused for a lock.

On PostgreSQL keys and ledger lie on the server too, as for several machines; with Redis they lie in files.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from securemem import Message, SecureMemory
from securemem.ledger.home import Peek
from securemem.ledger.store import Ledger
from securemem.testing.processes import Ended, release, start_writer
from securemem.testing.writer import Plan

WRITERS = 4
ALL = {"max_messages": 1_000_000}
EVERYWHERE = ["sqlite", "postgresql", "redis"]


class Place(NamedTuple):
    """Where a store lies: the URL of its data, and where all else is."""

    url: str
    elsewhere: dict[str, Any]

    def open(self, **options: Any) -> SecureMemory:
        """Give the store."""
        return SecureMemory.open(self.url, **self.elsewhere, **options)

    def plan(self, writer: int, sessions: tuple[str, ...], appends: int, batch: int = 1, **options: Any) -> Plan:
        """Give what a process does here."""
        given = ALL | self.elsewhere | options
        return Plan(url=self.url, writer=f"w{writer}", sessions=sessions, appends=appends, batch=batch, options=given)


@pytest.fixture(params=EVERYWHERE)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give one place after the other where no store is yet, of one kind."""
    if request.param == "sqlite":
        return (Place(f"sqlite:///{tmp_path}/{number}.db", {}) for number in itertools.count())
    keys = (f"sqlite:///{tmp_path}/{number}" for number in itertools.count())
    keks = ({"kms": f"file:///{tmp_path}/{number}.kek"} for number in itertools.count())
    if request.param == "redis":
        url: str = request.getfixturevalue("redis_store_url")  # ends in the prefix
        return (
            Place(f"{url}{number}:", {"keystore": f"{key}.keys.db", "ledger": f"{key}.ledger.db"} | kek)
            for number, (key, kek) in enumerate(zip(keys, keks, strict=True))
        )
    url = request.getfixturevalue("postgres_url")
    schema = f"{url}{'&' if '?' in url else '?'}schema="
    return (
        Place(f"{schema}data{number}", {"keystore": f"{schema}keys{number}", "ledger": f"{schema}ledger{number}"} | kek)
        for number, kek in enumerate(keks)
    )


@pytest.fixture
def place(places: Iterator[Place]) -> Place:
    """Give a place where no store is yet, once of each kind."""
    return next(places)


def _race(plans: list[Plan]) -> list[Ended]:
    children = [start_writer(plan) for plan in plans]
    release(*children)
    ended = [child.finish() for child in children]
    for end in ended:
        assert (end.code, end.errors) == (0, ""), end
    return ended


async def _histories(place: Place, sessions: set[str]) -> dict[str, list[Message]]:
    """Read whole sessions by a store that knows nothing yet, which verifies every record of them."""
    async with place.open() as memory:
        return {name: await memory.session(name).history(limit=1_000_000) for name in sessions}


def _check(place: Place, plans: list[Plan], ended: list[Ended]) -> None:
    """Every acknowledged message is there once, at its seq; seqs are contiguous; each writer's order is kept."""
    histories = asyncio.run(_histories(place, {name for plan in plans for name in plan.sessions}))
    wanted: dict[str, dict[int, str]] = defaultdict(dict)
    for end, plan in zip(ended, plans, strict=True):
        assert len(end.lines) == plan.appends
        for session, seqs, texts in end.lines:
            assert seqs == list(range(seqs[0], seqs[0] + plan.batch))
            assert not wanted[session].keys() & set(seqs), "one seq was acknowledged twice"
            wanted[session].update(zip(seqs, texts, strict=True))
    for session, messages in histories.items():
        assert [message.seq for message in messages] == list(range(1, len(messages) + 1))
        assert {message.seq: message.content for message in messages} == wanted[session]
        order = [tuple(str(message.content).split(":")) for message in messages]
        for writer in {name for name, _, _ in order}:
            own = [(int(number), int(place)) for name, number, place in order if name == writer]
            assert own == sorted(own)


def _shared(place: Place, appends: int, **options: Any) -> list[Plan]:
    return [place.plan(number, ("shared",), appends, 2, **options) for number in range(WRITERS)]


def _mixed(place: Place, appends: int) -> list[Plan]:
    return [
        place.plan(number, (f"own{number}", "shared", f"second{number}"), appends, 1 + number % 3)
        for number in range(WRITERS)
    ]


def _create(place: Place) -> None:
    async def create() -> None:
        async with place.open() as memory:
            await memory.session("first").add("user", "hello")

    asyncio.run(create())


@pytest.mark.parametrize("appends", [20, pytest.param(500, marks=pytest.mark.soak)])
def test_writers_on_one_session(place: Place, appends: int) -> None:
    """Four processes that append to one session lose nothing to each other."""
    _create(place)
    plans = _shared(place, appends)
    _check(place, plans, _race(plans))


@pytest.mark.parametrize(
    ("places", "appends"),
    [("sqlite", 30), *(pytest.param(kind, 600, marks=pytest.mark.soak) for kind in EVERYWHERE)],
    indirect=["places"],
)
def test_writers_on_sessions_of_their_own(place: Place, appends: int) -> None:
    """Four processes, each with sessions of its own and one that all share, lose nothing to each other."""
    _create(place)
    plans = _mixed(place, appends)
    _check(place, plans, _race(plans))


@pytest.mark.parametrize(
    ("places", "rounds"),
    [
        ("sqlite", 3),
        ("postgresql", 1),
        ("redis", 1),
        pytest.param("sqlite", 60, marks=pytest.mark.soak),
        pytest.param("postgresql", 20, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
        pytest.param("redis", 20, marks=[pytest.mark.soak, pytest.mark.timeout(900)]),
    ],
    indirect=["places"],
)
def test_writers_that_make_the_store_together(places: Iterator[Place], rounds: int) -> None:
    """Four processes that open a store that is not there yet, at the same moment, end up in one and the same."""
    for number, place in enumerate(itertools.islice(places, rounds)):
        plans = _shared(place, 3) if number % 2 else _mixed(place, 3)
        _check(place, plans, _race(plans))


@pytest.mark.parametrize("appends", [40, pytest.param(800, marks=pytest.mark.soak)])
def test_writers_that_trim(place: Place, appends: int) -> None:
    """With a limit of messages, four writers of one session leave exactly its newest ones, in order and verified."""
    most = 10
    plans = [place.plan(number, ("shared",), appends, max_messages=most) for number in range(WRITERS)]
    _create(place)
    said = list(itertools.chain.from_iterable(end.lines for end in _race(plans)))
    by_seq = {seq: text for _, [seq], [text] in said}
    assert sorted(by_seq) == list(range(1, WRITERS * appends + 1))
    [messages] = asyncio.run(_histories(place, {"shared"})).values()
    newest = sorted(by_seq)[-most:]
    assert [(message.seq, message.content) for message in messages] == [(seq, by_seq[seq]) for seq in newest]


async def test_reading_while_others_write(place: Place) -> None:
    """Who reads a session to which two processes append sees it grow, each time whole and as it stays."""
    async with place.open(**ALL) as memory:
        chat = memory.session("shared")
        await chat.add("user", "first")
        writers = [start_writer(plan) for plan in _shared(place, 20)[:2]]
        release(*writers)
        ends = asyncio.gather(*(asyncio.to_thread(writer.finish) for writer in writers))
        seen = [await chat.history(limit=1_000_000)]
        while len(seen[-1]) < 81:
            seen.append(await chat.history(limit=1_000_000))
            assert seen[-1][: len(seen[-2])] == seen[-2]
            await asyncio.sleep(0)
        assert [end.errors for end in await ends] == ["", ""]
    assert len({len(each) for each in seen}) > 10, "nothing was read in between"
    wanted = {
        seq: text for end in await ends for _, seqs, texts in end.lines for seq, text in zip(seqs, texts, strict=True)
    }
    assert {message.seq: message.content for message in seen[-1]} == {1: "first"} | wanted


@pytest.mark.parametrize("fault", ["lost", "doubled", "reordered", "another"])
@pytest.mark.parametrize("places", ["sqlite"], indirect=True)
def test_the_check_finds_it(place: Place, fault: str) -> None:
    """Control: a message that is missing, there twice, in another's place or not the one that was said is found."""
    texts = ["w0:0:0", "w0:1:0", "w0:2:0"]
    stored = {
        "lost": texts[:2],
        "doubled": [*texts[:2], *texts[1:]],
        "reordered": [texts[1], texts[0], texts[2]],
        "another": [*texts[:2], "w0:3:0"],
    }[fault]

    async def store(*messages: str) -> None:
        async with place.open() as memory:
            await memory.session("shared").clear()
            for text in messages:
                await memory.session("shared").add("user", text)

    ended = [Ended([["shared", [seq], [text]] for seq, text in enumerate(texts, 1)], 0, "")]
    plans = [place.plan(0, ("shared",), 3)]
    asyncio.run(store(*texts))
    _check(place, plans, ended)
    asyncio.run(store(*stored))
    with pytest.raises(AssertionError):
        _check(place, plans, ended)


async def test_two_stores_in_one_process(place: Place) -> None:
    """Two store objects over one place, with 32 writers each on one session, lose nothing to each other."""
    async with (
        place.open(max_messages=10_000) as one,
        place.open(max_messages=10_000) as two,
    ):
        texts = [f"{number}" for number in range(64)]
        stored = await asyncio.gather(
            *((one, two)[number % 2].session("s").add("user", text) for number, text in enumerate(texts))
        )
        for memory in (one, two):
            history = await memory.session("s").history(limit=1000)
            assert [message.seq for message in history] == list(range(1, 65))
            assert {m.seq: m.content for m in history} == {m.seq: m.content for m in stored}


async def test_opening_while_another_clears(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clear by another process between any two steps of opening a store does not keep it from opening."""
    peek = Ledger.peek
    async with place.open() as other:
        await other.session("kept").add("user", "kept")
        await other.session("gone").add("user", "gone")

        async def peek_and_clear(ledger: Ledger) -> Peek | None:
            found = await peek(ledger)
            monkeypatch.setattr(Ledger, "peek", peek)
            await other.session("gone").clear()
            return found

        monkeypatch.setattr(Ledger, "peek", peek_and_clear)
        async with place.open() as memory:
            assert [message.content for message in await memory.session("kept").history()] == ["kept"]
            assert await memory.session("gone").history() == []


@pytest.mark.parametrize(("places", "acts"), [("sqlite", 20), ("postgresql", 6), ("redis", 6)], indirect=["places"])
async def test_opening_and_clearing_at_once(place: Place, acts: int) -> None:
    """While one store clears and erases, others open, read and close, and nothing is refused to either."""
    async with place.open() as busy:
        await busy.session("kept").add("user", "kept")
        done = asyncio.Event()

        async def clear() -> None:
            for number in range(acts):
                await busy.session("gone", user_id=f"u{number}").add("user", "gone")
                if number % 2:
                    await busy.session("gone", user_id=f"u{number}").clear()
                else:
                    await busy.erase_user(f"u{number}")
            done.set()

        async def look() -> None:
            while not done.is_set():
                async with place.open() as memory:
                    assert len(await memory.session("kept").history()) == 1

        await asyncio.gather(clear(), look(), look())
