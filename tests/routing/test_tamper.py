"""Somebody who can write to the servers, or restores them: nothing comes back unseen."""

from __future__ import annotations

from typing import Any

import pytest

from securemem import IntegrityError, ReorderedError, SecureMemory
from securemem.errors import BackendUnavailableError
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.model import HOME, Tail
from tests.routing.conftest import SECOND, Stage, everything

Pair = tuple[SecureMemory, SecureMemory]


async def _fill(memory: SecureMemory) -> None:
    for user in ("ann", "bob"):
        for number in range(3):
            await memory.session("s", user_id=user).add("user", f"{user} {number}")


async def _stopped(*_: object, **__: object) -> Any:
    raise BackendUnavailableError("stopped")


async def _nothing(*_: object) -> None:
    """Do nothing."""


async def test_old_rows_at_the_server_that_was_left(stage: Stage, pair: Pair) -> None:
    """Rows and heads that are put back where a tenant was are read by nobody, and erasures stand."""
    here, there = pair
    await _fill(here)
    await everything(there)
    old = await stage.copy(HOME)
    await here.tenants.move(SECOND)
    await here.session("s", user_id="ann").add("user", "after")
    await here.erase_user("bob")
    await stage.put_back(HOME, old)
    wanted = {("ann", "s"): ["ann 0", "ann 1", "ann 2", "after"]}
    async with stage.open() as new:
        assert await everything(here) == await everything(there) == await everything(new) == wanted
        await new.session("s", user_id="ann").add("user", "more")
    assert len((await stage.copy(HOME))[next(iter(await stage.handles()))].rows) == 3, "what was put back is as it was"


async def test_old_rows_come_back_with_the_tenant(stage: Stage, pair: Pair) -> None:
    """Old rows where a tenant was do not come back to life when it returns: what it brings takes their place."""
    here, there = pair
    await _fill(here)
    old = await stage.copy(HOME)
    await here.tenants.move(SECOND)
    await here.session("s", user_id="ann").add("user", "after")
    await here.erase_user("bob")
    await stage.put_back(HOME, old)
    wanted = await everything(there)
    await here.tenants.move(HOME)
    assert await everything(here) == await everything(there) == wanted
    assert {said for texts in wanted.values() for said in texts} == {"ann 0", "ann 1", "ann 2", "after"}


async def test_old_rows_at_the_server_that_it_came_to(stage: Stage, pair: Pair) -> None:
    """What lay at one server, put in place of what lies at the other now, is refused, by new processes too."""
    here, there = pair
    await _fill(here)
    old = await stage.copy(HOME)
    await here.tenants.move(SECOND)
    assert await everything(here) == await everything(there)
    await stage.put_back(SECOND, old)
    async with stage.open() as new:
        for memory in (here, there, new):
            with pytest.raises(ReorderedError):
                await memory.session("s", user_id="ann").history()
            with pytest.raises(ReorderedError):
                await memory.session("s", user_id="ann").add("user", "more")


async def test_old_rows_without_floors(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: without the floors that a move raises, a new process takes the older state for the newest."""
    monkeypatch.setattr(SqliteKeystore, "raise_floors", _nothing)
    async with stage.open() as memory:
        await _fill(memory)
        old = await stage.copy(HOME)
        await memory.session("s", user_id="ann").add("user", "after")
        await memory.tenants.move(SECOND)
    await stage.put_back(SECOND, old)
    async with stage.open() as new:
        assert [said.content for said in await new.session("s", user_id="ann").history()] == ["ann 0", "ann 1", "ann 2"]


@pytest.mark.parametrize("step", ["_settle", "_clean"])
async def test_old_rows_in_mid_move(stage: Stage, pair: Pair, step: str) -> None:
    """Rows that are put back on the server that is being left are not read, and keep the move from its end."""
    here, there = pair
    await _fill(here)
    old = await stage.copy(HOME)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"securemem.moving._Mover.{step}", _stopped)
        with pytest.raises(BackendUnavailableError, match="stopped"):
            await here.tenants.move(SECOND)
    await there.session("s", user_id="ann").add("user", "after")
    moved = await stage.copy(HOME)
    await stage.put_back(HOME, old)
    async with stage.open() as new:
        assert await everything(new) == await everything(there)
        assert [said.content for said in await new.session("s", user_id="ann").history()][-1] == "after"
        with pytest.raises(IntegrityError, match=r"^2 of its sessions.*older state"):
            await new.tenants.move(SECOND)
        assert set(await stage.copy(HOME)) == set(old)
        await stage.put_back(HOME, moved)
        await new.tenants.move(SECOND)
    assert await stage.copy(HOME) == {}


async def test_a_damaged_session_stays(stage: Stage, pair: Pair) -> None:
    """A session that is not as it was written stays where it is, all others go, and who was in it can be erased."""
    here, there = pair
    await _fill(here)
    [session] = [keys.handle async for keys in (await here.host.ready()).keyring.sessions("ann")]
    head, rows = (await stage.copy(HOME, [session]))[session]
    await stage.put_back(HOME, {session: Tail(head, [(3, rows[0][1]), (2, rows[2][1]), (1, rows[2][1])])})
    with pytest.raises(IntegrityError, match=rf"^1 of its sessions.*{session.hex()}"):
        await here.tenants.move(SECOND)
    assert set(await stage.copy(HOME)) >= {session}
    [place] = await there.tenants.list()
    assert (place.server, place.moving_to) == (HOME, SECOND)
    for memory in pair:
        with pytest.raises(IntegrityError):
            await memory.session("s", user_id="ann").history()
        await memory.session("s", user_id="bob").add("user", "goes on")
    await there.erase_user("ann")
    await here.tenants.move(SECOND)
    assert await everything(here) == await everything(there)
    assert await stage.copy(HOME, [session]) == {}


async def test_a_head_that_claims_to_have_moved(stage: Stage, pair: Pair) -> None:
    """The flag of a moved session, set by somebody in a head, is a change like any other."""
    here, there = pair
    await _fill(here)
    await everything(there)
    [session] = [keys.handle async for keys in (await here.host.ready()).keyring.sessions("ann")]
    head, rows = (await stage.copy(HOME, [session]))[session]
    await stage.put_back(HOME, {session: Tail(head[:3] + bytes((head[3] | 4,)) + head[4:], rows)})
    for memory in pair:
        with pytest.raises(IntegrityError):
            await memory.session("s", user_id="ann").history()
    with pytest.raises(IntegrityError):
        await here.tenants.move(SECOND)


async def test_rows_that_await_the_tenant(stage: Stage, pair: Pair) -> None:
    """Rows without a head on the server that a session comes to are noticed, before anything is mixed with them."""
    here, _ = pair
    await _fill(here)
    session, tail = next(iter((await stage.copy(HOME)).items()))
    await here.tenants.move(SECOND)
    await here.tenants.move(HOME)
    await stage.put_back(SECOND, {session: tail})
    await stage.take_heads(SECOND)
    with pytest.raises(IntegrityError, match="rows without a head"):
        await here.tenants.move(SECOND)
