"""Whatever is restored, on whatever backend: all that was decided since holds, and nobody comes back."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from securemem import LegalHoldError, NotReadyError

from .place import STORES, Place, decide, fill, read

SOME = list(chain.from_iterable(combinations(STORES, number) for number in (1, 2, 3)))


@pytest.mark.parametrize("stores", SOME, ids="+".join)
async def test_what_was_decided_since_holds(place: Place, stores: tuple[str, ...]) -> None:
    """Data and keystore from before, the ledger as it was last: the erased stay gone, the held held, the rest is there.

    What was written since the backup is lost with the data, and with the keystore; writing goes on in both cases.
    """
    await _restore_and_look(place, stores)


@pytest.mark.parametrize("stores", [("data",), STORES], ids="+".join)
@pytest.mark.parametrize("place", ["redis cluster"], indirect=True)
async def test_what_was_decided_since_holds_on_a_cluster(place: Place, stores: tuple[str, ...]) -> None:
    """The same where the sessions lie on six nodes."""
    await _restore_and_look(place, stores)


async def _restore_and_look(place: Place, stores: tuple[str, ...]) -> None:
    async with place.open() as memory:
        await fill(memory)
        await place.save(memory, "data", "keystore")
        await decide(memory)
        await place.save(memory, "ledger")
    for store in stores:
        await place.empty(store)
    report = await place.restore(*stores)
    assert set(report.stores) == set(stores)
    assert report.is_open
    for _ in range(2):
        async with place.open() as memory:
            assert [info async for info in memory.sessions(user_id="alice")] == []
            assert await read(memory, "alice") == []
            assert [await read(memory, user) for user in ("bob", "carol", "dave")] == ["restricted", "restricted", []]
            lost = ["since"] if "data" not in stores else []
            assert (await read(memory, "frank"))[:4] == [f"frank {number}" for number in range(3)] + lost
            with pytest.raises(LegalHoldError):
                await memory.session("s", user_id="bob").clear()
    async with place.open() as memory:
        assert await read(memory, "frank", "new") == (["begun since"] if stores == ("ledger",) else [])
        for session in ("s", "new"):
            before = await read(memory, "frank", session)
            await memory.session(session, user_id="frank").add("user", "and on")
            assert await read(memory, "frank", session) == [*before, "and on"]
        await memory.holds.release((await memory.holds.list())[0].id)
        await memory.lift_restriction("carol")
        assert await read(memory, "bob") == [f"bob {number}" for number in range(3)]
        assert await read(memory, "carol") == [f"carol {number}" for number in range(3)]


@pytest.mark.parametrize("stores", [some for some in SOME if "ledger" in some and len(some) < 3], ids="+".join)
async def test_an_older_ledger_is_not_believed(place: Place, stores: tuple[str, ...]) -> None:
    """A ledger from before is refused as long as another store knows of later acts; the newest one opens them."""
    async with place.open() as memory:
        await fill(memory)
        await place.save(memory, *STORES)
        await decide(memory)
    for store in stores:
        await place.empty(store)
    with pytest.raises(NotReadyError, match="older"):
        await place.restore(*stores)
    with pytest.raises((NotReadyError, Exception)):
        async with place.open(create=False):
            pass


async def test_a_control_with_everything_from_before(place: Place) -> None:
    """If all three are from before, nothing that is left knows of the erasure: that the ledger is newer, protects."""
    async with place.open() as memory:
        await fill(memory)
        await place.save(memory, *STORES)
        await decide(memory)
    for store in STORES:
        await place.empty(store)
    report = await place.restore(*STORES)
    assert report.acts == 0
    async with place.open() as memory:
        assert await read(memory, "alice") == [f"alice {number}" for number in range(3)]


async def test_tenants_and_tables_are_restored_together(place: Place) -> None:
    """One backup has all of them; who was forgotten in one since stays gone there, and is there in the others."""
    named = [{"tenant": "default"}, {"tenant": "acme"}, {"tenant": "acme", "table_name": "others"}]
    if place.url.startswith("redis"):
        named[2] = {"tenant": "third"}
    for options in named:
        async with place.open(**options) as memory:
            for user in ("alice", "bob"):
                await memory.session("s", user_id=user).add("user", " ".join([user, *options.values()]))
    async with place.open() as memory:
        await place.save(memory, *STORES)
    async with place.open(**named[1]) as memory:
        await memory.erase_user("alice")
        await place.save(memory, "ledger", name="newest ")
    for store in STORES:
        await place.empty(store)
    report = await place.restore(*STORES)
    assert report.sessions == 6
    for number, options in enumerate(named):
        async with place.open(**options) as memory:
            said = " ".join(options.values())
            assert await read(memory, "alice") == ([] if number == 1 else [f"alice {said}"])
            assert await read(memory, "bob") == [f"bob {said}"]
