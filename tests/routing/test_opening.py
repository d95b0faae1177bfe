"""Opening a store whose tenants lie on several servers: settings, processes that lack them, and what was restored."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from typing import Any

import pytest

from securemem import SecureMemory
from securemem.adapters import make_keystore
from securemem.config import Settings
from securemem.destruction import Destruction
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.keys.keystore import Keystore
from securemem.ledger.acts import Act
from securemem.model import HOME, Route
from tests.routing.conftest import SECOND, Stage, everything


async def _fill(memory: SecureMemory) -> None:
    for user in ("ann", "bob"):
        await memory.session("s", user_id=user).add("user", f"of {user}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("servers = 5", "gives a URL to each name"),
        ("[servers]\nb = 5", "gives a URL to each name"),
        ('[servers]\ndefault = "sqlite:///b.db"', "names the store's own URL"),
        ('[servers]\n"a b" = "sqlite:///b.db"', "name has letters"),
        ('[servers]\nb = "memory://"', "PostgreSQL or SQLite"),
        ('[servers]\nb = "redis://localhost"', "PostgreSQL or SQLite"),
        (
            'replica = "postgresql://standby/db"\n[servers]\nb = "sqlite:///b.db"',
            "replica is for a store on one server",
        ),
    ],
)
def test_bad_settings(stage: Stage, settings: str, message: str) -> None:
    """A table of servers that cannot be is an error that says what it wants."""
    (stage.folder / "securemem.toml").write_text(settings)
    with pytest.raises(ConfigurationError, match=message):
        stage.open()


def test_servers_are_for_tables(stage: Stage) -> None:
    """A store in process memory has no servers."""
    with pytest.raises(ConfigurationError, match="PostgreSQL or SQLite"):
        SecureMemory.open("memory://")


async def test_the_keystore_lies_with_no_server(stage: Stage) -> None:
    """A keystore in the database of any of the servers is refused."""
    if stage.urls[HOME].startswith("sqlite"):
        (stage.folder / "securemem.toml").write_text('[servers]\nb = "postgresql://somewhere/db"')
        stage.urls[SECOND] = "postgresql://somewhere/db"
    with pytest.raises(ConfigurationError, match="must not lie with the data"):
        async with SecureMemory.open(stage.urls[HOME], **stage.options | {"keystore": stage.urls[SECOND]}):
            pass


SAME = (
    ("postgresql://u:p@db.local/data", "postgres://other@DB.local:5432/data?sslmode=require"),
    ("postgresql://u@a,b:6000/data?schema=public", "postgresql://u@b:6000,c/data"),
    ("postgresql://[::1]/data", "postgresql://[::1]:5432/data"),
    ("postgresql://data@a", "postgresql://somebody@a/data"),
    ("postgresql://u@a:5433/data", "postgresql:///data?host=b,a&port=5433&user=u"),
    ("postgresql://u@a/data", "postgresql://u@a?dbname=data"),
    ("postgresql://u@%2Frun%2Fpg/data", "postgresql://u@/data?host=/run/pg"),
)
OTHERS = (
    ("postgresql://u@a/data", "postgresql://u@a:5433/data"),
    ("postgresql://u@a/data", "postgresql://u@a/keys"),
    ("postgresql://u@a/data", "postgresql://u@a/data?schema=keys"),
    ("postgresql://u@a/data", "postgresql://u@b/data"),
    ("postgresql://u@a?dbname=data", "postgresql://u@a?dbname=keys"),
    ("postgresql://u@a/data", "postgresql://u@a/keys?dbname=data"),
    ("postgresql://u@a/data", "postgresql://u@b/data?host=a"),
)


@pytest.mark.parametrize(("url", "keystore", "same"), [(*pair, pair in SAME) for pair in SAME + OTHERS])
def test_one_database_by_two_names(url: str, keystore: str, *, same: bool) -> None:
    """A database is known again by a URL that says its usual port, its schema or its name in so many words."""
    settings = Settings(url=url, keystore=keystore, ledger=None, kms=None, table_name=None)
    with pytest.raises(ConfigurationError, match="must not lie with the data") if same else nullcontext():
        make_keystore(settings)


async def test_who_lacks_the_server_cannot_open(stage: Stage) -> None:
    """A process whose settings lack the server of its tenant is told its name; a tenant that is elsewhere opens."""
    async with stage.open() as memory:
        await _fill(memory)
        await memory.tenants.move(SECOND)
    stage.settle()
    with pytest.raises(ConfigurationError, match=r"server 'second'.*\[servers\]"):
        async with stage.open():
            pass
    async with stage.open("another") as memory:
        await _fill(memory)
        with pytest.raises(ConfigurationError, match="no server 'second'"):
            await memory.tenants.move(SECOND)
    stage.settle(SECOND)
    async with stage.open() as memory:
        assert await everything(memory) == {("ann", "s"): ["of ann"], ("bob", "s"): ["of bob"]}


@pytest.mark.parametrize("use", ["read", "write", "begin", "erase", "clear", "list"])
async def test_who_lacks_the_server_and_is_open(stage: Stage, monkeypatch: pytest.MonkeyPatch, use: str) -> None:
    """A process that was open without the server writes nothing where its tenant was, and destroys nothing half."""
    stage.settle()
    async with stage.open() as lacking:
        await _fill(lacking)
        await everything(lacking)
        stage.settle(SECOND)
        async with stage.open() as memory:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("securemem.moving._Mover._settle", _stopped)
                with pytest.raises(BackendUnavailableError, match="stopped"):
                    await memory.tenants.move(SECOND)
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=r"\[servers\]"):
                    await _use(lacking, use)
                await memory.tenants.move(SECOND)
            assert await everything(memory) == {("ann", "s"): ["of ann"], ("bob", "s"): ["of bob"]}
    assert await stage.count(HOME) == 0


async def _stopped(*_: object, **__: object) -> Any:
    raise BackendUnavailableError("stopped")


async def _use(memory: SecureMemory, use: str) -> None:
    chat = memory.session("s", user_id="ann")
    if use == "read":
        await chat.history()
    elif use == "write":
        await chat.add("user", "late")
    elif use == "begin":
        await memory.session("new", user_id="ann").add("user", "late")
    elif use == "erase":
        await memory.erase_user("ann")
    elif use == "clear":
        await chat.clear()
    else:
        await everything(memory)


async def test_a_restored_keystore_learns_of_the_move(stage: Stage) -> None:
    """A keystore from before a move is told by the ledger where the tenant lies; who was erased since stays so."""
    keys = stage.folder / "keys.db"
    async with stage.open() as memory:
        await _fill(memory)
    shutil.copy2(keys, stage.folder / "keys.backup")
    async with stage.open() as memory:
        await memory.tenants.move(SECOND)
        await memory.session("s", user_id="ann").add("user", "after")
        await memory.erase_user("bob")
    shutil.copy2(stage.folder / "keys.backup", keys)
    stage.settle()
    with pytest.raises(ConfigurationError, match="'second'"):
        async with stage.open("another"):
            pass
    stage.settle(SECOND)
    async with stage.open() as memory:
        [_, place] = await memory.tenants.list()
        assert (place.tenant, place.server, place.moving_to) == ("default", SECOND, None)
        assert await everything(memory) == {("ann", "s"): ["of ann", "after"]}
        await memory.session("new", user_id="bob").add("user", "hello")
    assert await stage.copy(HOME) == {}


async def test_a_restored_server_catches_up(stage: Stage) -> None:
    """The server that a tenant lies on, restored from before an erasure, carries it out again; one it left does not."""
    async with stage.open() as memory:
        await _fill(memory)
        await memory.tenants.move(SECOND)
        old, counter = await stage.copy(SECOND), await stage.counter(SECOND)
        await memory.erase_user("bob")
    await stage.put_back(SECOND, old)
    await stage.put_back(HOME, old)
    await stage.set_counter(SECOND, counter)
    async with stage.open() as memory:
        assert await everything(memory) == {("ann", "s"): ["of ann"]}
    [gone] = set(old) - set(await stage.handles())
    assert (await stage.copy(SECOND, [gone]))[gone].rows == []
    assert (await stage.copy(HOME, [gone]))[gone].rows, "the control: it was there"


async def test_each_server_catches_up_alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was done on one server is not done again when another's tenants open, nor what came before a move."""
    done: list[int] = []
    real = Destruction.carry_out

    async def carry_out(self: Destruction, act: Act, *, purge_seconds: float | None) -> Any:
        done.append(act.counter)
        return await real(self, act, purge_seconds=purge_seconds)

    async with stage.open("red") as red, stage.open("blue") as blue:
        await _fill(blue)
        for _ in range(3):
            await _fill(red)
            await red.session("s", user_id="ann").clear()
        await red.tenants.move(SECOND)
        for _ in range(3):
            await _fill(red)
            await red.session("s", user_id="ann").clear()
    monkeypatch.setattr(Destruction, "carry_out", carry_out)
    assert (await stage.counter(HOME), await stage.counter(SECOND)) == (3, 7), "by its stamp one has missed something"
    async with stage.open("blue"), stage.open("red"):
        assert done == []
    assert (await stage.counter(HOME), await stage.counter(SECOND)) == (7, 7)


async def test_a_server_is_up_to_date_before_a_tenant_comes(stage: Stage) -> None:
    """What a server has missed is carried out on it before another tenant's acts can raise its stamp."""
    async with stage.open("red") as red, stage.open("blue") as blue:
        await _fill(red)
        await _fill(blue)
        await blue.tenants.move(SECOND)
        old, counter = await stage.copy(SECOND), await stage.counter(SECOND)
        await blue.erase_user("bob")
    await stage.put_back(SECOND, old)
    await stage.set_counter(SECOND, counter)
    [gone] = set(old) - set(await stage.handles())
    async with stage.open("red") as red:
        assert (await stage.copy(SECOND, [gone]))[gone].rows
        await red.tenants.move(SECOND)
        await red.erase_user("bob")
    assert (await stage.copy(SECOND, [gone]))[gone].rows == []


async def test_an_act_that_was_interrupted_elsewhere(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An erasure that was interrupted on one server is ended by whoever opens next and can reach that server."""
    async with stage.open("red") as red:
        await _fill(red)
        await red.tenants.move(SECOND)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type((await red.host.ready()).keyring.keystore), "shred_user", _stopped)
            with pytest.raises(BackendUnavailableError, match="stopped"):
                await red.erase_user("ann")
    stage.settle()
    async with stage.open("blue") as blue:
        assert await (await blue.host.ready()).ledger.acts(unfinished=True)
    stage.settle(SECOND)
    async with stage.open("blue") as blue:
        assert not await (await blue.host.ready()).ledger.acts(unfinished=True)
    async with stage.open("red") as red:
        assert await everything(red) == {("bob", "s"): ["of bob"]}


async def test_a_stamp_that_is_held_back_turns_nothing_back(stage: Stage) -> None:
    """While an act of another tenant is not through, who opens takes no move for one that the keystore has missed."""
    async with stage.open("red") as red, stage.open("blue") as blue:
        await _fill(red)
        await _fill(blue)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type((await blue.host.ready()).keyring.keystore), "shred_user", _stopped)
            with pytest.raises(BackendUnavailableError, match="stopped"):
                await blue.erase_user("ann")
        await red.tenants.move(SECOND)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("securemem.moving._Mover._settle", _stopped)
            with pytest.raises(BackendUnavailableError, match="stopped"):
                await red.tenants.move(HOME)
        async with stage.open("blue") as other:
            [_, place] = await other.tenants.list()
            assert (place.server, place.moving_to) == (SECOND, HOME)
        assert set(await everything(red)) == {("ann", "s"), ("bob", "s")}


async def test_a_move_that_was_decided_is_made(stage: Stage) -> None:
    """Who opens a store whose ledger knows of a move that the keystore was not told of tells it."""
    async with stage.open() as memory:
        await _fill(memory)
        keystore = (await memory.host.ready()).keyring.keystore
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("securemem.moving._Mover._set", _stopped_after(keystore))
            with pytest.raises(BackendUnavailableError, match="stopped"):
                await memory.tenants.move(SECOND)
    async with stage.open() as memory:
        assert [(place.server, place.leaving) for place in await memory.tenants.list()] == [(SECOND, HOME)]
        assert len(await everything(memory)) == 2
        await memory.tenants.move(SECOND)
        assert [place.leaving for place in await memory.tenants.list()] == [None]
        assert len(await (await memory.host.ready()).ledger.acts()) == 1
    assert await stage.count(HOME) == 0


def _stopped_after(keystore: Keystore) -> Any:
    """Give what lets the first change of a route through, and no other."""

    async def set_route(mover: Any, route: Route, new: Route) -> None:
        if new.moving_to is None:
            await _stopped()
        assert await keystore.set_route(mover._way.name, route, new)

    return set_route
