"""A ledger of which no newer backup is left: refused unless its keeper says so; then the others tell what they know."""

from __future__ import annotations

from typing import Any

import pytest

from securemem import LegalHoldError, NotReadyError
from securemem.relearning import REASON

from .place import STORES, Place, decide, fill, read

SOME = [(), ("ledger",), ("keystore", "ledger"), ("data", "ledger")]
LOST = {"accept_older_ledger": True}


async def _lose(place: Place, stores: tuple[str, ...]) -> Any:
    """Decide something, lose the ledger and other stores, and restore them as they were before."""
    async with place.open() as memory:
        await fill(memory)
        await place.save(memory, *STORES)
        await decide(memory)
    for store in {*stores, "ledger"}:
        await place.empty(store)
    if "ledger" in stores:
        with pytest.raises(NotReadyError, match="older"):
            await place.restore(*stores)
        for store in stores:
            await place.empty(store)
    return await place.restore(*stores, **LOST)


@pytest.mark.parametrize("stores", SOME, ids=lambda stores: "+".join(stores) or "nothing")
async def test_nobody_comes_back(place: Place, stores: tuple[str, ...]) -> None:
    """Who was erased is gone by the other stores' word, what was held and restricted is so by the heads'."""
    report = await _lose(place, stores)
    assert report.is_open
    is_told = "data" not in stores
    assert report.relearned == ((1, 1, 0) if is_told else (0, 0, 0))
    for _ in range(2):
        async with place.open() as memory:
            assert await read(memory, "alice") == []
            assert [info async for info in memory.sessions(user_id="alice") if info.messages] == []
            assert (await read(memory, "frank"))[:3] == [f"frank {number}" for number in range(3)]
            assert "alice as a guest" not in await read(memory, "frank")
            assert await read(memory, "dave") == []
            assert (await memory.status()).interrupted == 0
            if is_told:
                assert [await read(memory, user) for user in ("bob", "carol")] == ["restricted", "restricted"]
                with pytest.raises(LegalHoldError):
                    await memory.erase_user("bob")
                assert [(hold.reason_code, hold.session) for hold in await memory.holds.list()] == [(REASON, None)]


@pytest.mark.parametrize("place", ["sqlite", "all on postgresql"], indirect=True)
async def test_a_ledger_that_had_decided_nothing(place: Place) -> None:
    """Missing, it is asked for by whoever opens or restores; an empty one is begun where its keeper says so."""
    async with place.open() as memory:
        await memory.session("s", user_id="bob").add("user", "bob 0")
        await place.save(memory, "data")
    await place.empty("ledger")
    with pytest.raises(NotReadyError, match=r"ledger .* is missing.* URL may not be the right one"):
        async with place.open():
            pass
    await place.empty("data")
    with pytest.raises(NotReadyError, match=r"ledger .* is missing.* URL may not be the right one"):
        await place.restore("data")
    assert (await place.restore("data", **LOST)).is_open
    async with place.open(create=False) as memory:
        assert await read(memory, "bob") == ["bob 0"]


async def test_life_goes_on(place: Place) -> None:
    """Acts are counted on behind those that were lost, so that the next restore of the data knows of them."""
    await _lose(place, ("ledger",))
    async with place.open() as memory:
        await memory.holds.release((await memory.holds.list())[0].id)
        await memory.lift_restriction("carol")
        assert await read(memory, "bob") == [f"bob {number}" for number in range(3)]
        assert await read(memory, "carol") == [f"carol {number}" for number in range(3)]
        await place.save(memory, "data", "keystore", name="second ")
        await memory.erase_user("frank")
        await memory.audit.verify()
    for store in ("data", "keystore"):
        await place.empty(store)
    report = await place.restore("data", "keystore")
    assert report.acts == 1
    async with place.open() as memory:
        assert await read(memory, "frank") == []
        assert await read(memory, "bob") == [f"bob {number}" for number in range(3)]


async def test_a_hold_on_one_session(place: Place) -> None:
    """Only that one is held again, and a release that was lost is asked for once more."""
    async with place.open() as memory:
        await fill(memory)
        old = await memory.holds.place("bob", reason_code="CASE-1")
        await place.save(memory, "ledger")
        await memory.holds.release(old.id)
        await memory.holds.place("frank", session_id="held later", reason_code="CASE-2")
    await place.empty("ledger")
    report = await place.restore("ledger", **LOST)
    assert report.relearned == (1, 0, 0)
    async with place.open() as memory:
        assert await read(memory, "frank", "held later") == "restricted"
        assert await read(memory, "frank") != "restricted"
        assert await read(memory, "bob") == "restricted"
        assert sorted(hold.reason_code for hold in await memory.holds.list()) == ["CASE-1", REASON]


async def test_it_is_written_down(place: Place) -> None:
    """The new ledger's audit says that it was restored."""
    await _lose(place, ())
    async with place.open() as memory:
        events = [line async for line in memory.audit.export() if line["kind"] == "event"]
    assert [event["event"]["kind"] for event in events].count("restore") == 1
