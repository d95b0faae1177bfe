"""What the ledger is told it keeps, in whichever place; its numbers rise in the order in which acts become visible."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.ledger.acts import Act, ActKind, Tombstone
from securemem.ledger.moves import Moves
from securemem.ledger.store import Ledger
from securemem.model import Stamp

from .acts import DEPLOYMENT, PERSON, TENANT, begin

AT_ONCE = 24


async def test_an_act_is_given_back_whole(ledger: Ledger) -> None:
    """Kind, handles and tombstones come back, counted from 1, until an act is through and past what is asked for."""
    first = await begin(ledger, ActKind.ERASE, b"a" * 16, b"b" * 16)
    second = await begin(ledger, ActKind.CLEAR, b"c" * 16)
    for _ in range(2):
        await ledger.add_tombstones(first.counter, [Tombstone(b"d" * 16, 1, guest=True), Tombstone(b"a" * 16, 1)])
    await ledger.add_tombstones(first.counter, [])
    await ledger.finish(second.counter, at=2000, receipt={"id": "ünï"})
    assert (first.counter, second.counter) == (1, 2)
    [unfinished] = await ledger.acts(unfinished=True)
    assert sorted((grave.session[:1], grave.guest) for grave in unfinished.tombstones) == [
        (b"a", False),
        (b"b", False),
        (b"d", True),
    ]
    assert (unfinished.kind, unfinished.user, unfinished.tenant) == (ActKind.ERASE, PERSON, TENANT)
    assert await ledger.acts(after=1) == [second]
    assert await ledger.acts(after=2) == []


async def test_large_numbers(ledger: Ledger) -> None:
    """Moments and generations far beyond today's come back."""
    act = await ledger.begin(ActKind.CLEAR, tenant=TENANT, user=None, generation=2**31 - 1, sessions=[], at=2**52)
    assert await ledger.acts() == [Act(act.counter, ActKind.CLEAR, TENANT, None, 2**31 - 1, 2**52, ())]


async def test_peeking_tells_what_opening_needs(ledger: Ledger) -> None:
    """The stamp and the unfinished acts, read without SQLAlchemy, follow what was written."""
    assert await ledger.peek() == (Stamp(DEPLOYMENT, 0), 0)
    first, second = await begin(ledger, ActKind.CLEAR, b"a" * 16), await begin(ledger, ActKind.CLEAR)
    assert await ledger.peek() == (Stamp(DEPLOYMENT, 2), 2)
    await ledger.finish(first.counter, at=2000)
    await ledger.finish(second.counter, at=2000)
    assert await ledger.peek() == (Stamp(DEPLOYMENT, 2), 0)


async def test_nothing_is_made_by_peeking(place: str) -> None:
    """Where there is no ledger yet peeking says so, however often."""
    ledger = Ledger(place)
    for _ in range(2):
        assert await ledger.peek() is None
    await ledger.aclose()


async def test_what_is_settled(ledger: Ledger) -> None:
    """Settled is up to an act, or up to the one before the lowest that is not through."""
    acts = [await begin(ledger, ActKind.CLEAR) for _ in range(4)]
    assert await ledger.settled(acts[0].counter) == acts[0].counter
    assert await ledger.settled(acts[2].counter) == acts[0].counter - 1
    for act in acts[:2]:
        await ledger.finish(act.counter, at=2000)
    assert await ledger.settled(acts[2].counter) == acts[2].counter
    assert await ledger.settled(acts[3].counter) == acts[1].counter


async def test_another_deployments_ledger(ledger: Ledger, place: str) -> None:
    """A ledger that belongs to a deployment is refused to another's acts, and stays as it was."""
    stranger = Ledger(place)
    await stranger.create(bytes(16))
    with pytest.raises(ConfigurationError, match=DEPLOYMENT.hex()):
        await begin(stranger, ActKind.CLEAR)
    await stranger.aclose()
    assert await ledger.peek() == (Stamp(DEPLOYMENT, 0), 0)


async def test_two_begin_a_ledger_at_once(place: str) -> None:
    """Of two deployments that make the tables at once one has the ledger, and the other is told so."""
    ledgers = [Ledger(place) for _ in range(4)]
    deployments = [DEPLOYMENT, bytes(16), DEPLOYMENT, bytes(16)]
    answers = await asyncio.gather(
        *(ledger.create(deployment) for ledger, deployment in zip(ledgers, deployments, strict=True)),
        return_exceptions=True,
    )
    peek = await ledgers[0].peek()
    assert peek is not None
    for deployment, answer in zip(deployments, answers, strict=True):
        assert answer is None or (isinstance(answer, ConfigurationError) and deployment != peek.stamp.deployment)
    for ledger in ledgers:
        await ledger.aclose()


async def test_numbers_rise_as_acts_become_visible(ledger: Ledger, other: Ledger) -> None:
    """While many begin at once, nobody ever sees a number and later a lower one that was not there."""
    seen: set[int] = set()
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            counters = {act.counter for act in await other.acts()}
            late = {counter for counter in counters - seen if counter < max(seen, default=0)}
            assert not late
            seen.update(counters)
            peek = await other.peek()
            assert peek is not None
            assert peek.stamp.counter >= max(seen, default=0)

    watching = asyncio.create_task(watch())
    acts = await asyncio.gather(
        *(begin((ledger, other)[number % 2], ActKind.CLEAR, bytes([number]) * 16) for number in range(AT_ONCE))
    )
    done.set()
    await watching
    assert sorted(act.counter for act in acts) == list(range(1, AT_ONCE + 1))
    assert {act.counter: act for act in await ledger.acts()} == {act.counter: act for act in acts}


async def test_settled_never_passes_an_act_under_way(ledger: Ledger, other: Ledger) -> None:
    """While acts begin and end at once in two processes, all up to what is settled are through, or one's own."""

    async def carry_out(number: int) -> None:
        mine = (ledger, other)[number % 2]
        act = await begin(mine, ActKind.CLEAR)
        settled = await mine.settled(act.counter)
        through = {each.counter for each in await mine.acts(unfinished=True)}
        assert not {counter for counter in through if counter <= settled} - {act.counter}
        await mine.finish(act.counter, at=2000)

    await asyncio.gather(*(carry_out(number) for number in range(AT_ONCE)))
    assert await ledger.settled(AT_ONCE) == AT_ONCE


async def test_a_move_is_an_act(ledger: Ledger) -> None:
    """A move comes back, and is an act that is through."""
    moves, at = Moves(ledger), datetime(2026, 3, 2, tzinfo=UTC)
    move = await moves.begin(TENANT, source="one", target="two", at=at, backups_until=None)
    assert await moves.all() == [move]
    assert await ledger.peek() == (Stamp(DEPLOYMENT, 1), 0)
    await moves.finish(move, at=at, residue=[], backups_until=at)
    [ended] = await moves.of(TENANT)
    assert (ended.cleaned_at, ended.backups_until) == (at, at)


async def test_an_act_that_cannot_be_written(ledger: Ledger) -> None:
    """Tombstones of an act that is not there, and an act that does not fit, are errors of ours, and nothing is kept."""
    with pytest.raises(BackendUnavailableError):
        await ledger.add_tombstones(99, [Tombstone(b"a" * 16, 1)])
    nameless = Tombstone(None, 1)  # type: ignore[arg-type]
    with pytest.raises(BackendUnavailableError):
        await ledger.begin(ActKind.CLEAR, tenant=TENANT, user=None, generation=1, sessions=[nameless], at=1)
    assert await ledger.acts() == []
