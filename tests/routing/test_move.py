"""A tenant that was moved: everything is there, for everybody, and nothing is left where it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from securemem import Message, SecureMemory
from securemem.errors import BackendUnavailableError, ConfigurationError, ConflictError, InvalidInputError
from securemem.model import HOME, Route
from securemem.moving import TenantPlace
from tests.conftest import FakeClock
from tests.routing.conftest import SECOND, Stage, everything

Pair = tuple[SecureMemory, SecureMemory]


async def _fill(memory: SecureMemory) -> None:
    """Write a little of everything."""
    for user in ("ann", "bob", "cleo"):
        chat = memory.session("chat", user_id=user)
        await chat.add("system", f"of {user}", metadata={"pinned": True})
        await chat.add_many([Message("user", f"{user} {number}") for number in range(7)])
    await memory.session("chat", user_id="ann").add("user", "a word of bob's", user_id="bob")
    await memory.session("chat", user_id="ann").add("user", "a word of dan's", user_id="dan")
    await memory.erase_user("dan")
    await memory.session("gone", user_id="bob").add("user", "cleared")
    await memory.session("gone", user_id="bob").clear()
    await memory.session("chat", user_id="cleo").fork("branch", at=4)


async def test_everything_is_there(stage: Stage, pair: Pair) -> None:
    """After a move all is read by who moved it, by who was open before, its caches warm or not, and by who comes."""
    here, there = pair
    await _fill(here)
    before = await everything(here)
    warm = there.session("chat", user_id="ann")
    window = await warm.context()
    report = await here.tenants.move(SECOND)
    assert (report.source, report.target, report.sessions) == (HOME, SECOND, len(before))
    assert report.records == sum(len(texts) for texts in before.values()) + 1, "and the stub of who was erased"
    assert await warm.context() == window
    async with stage.open() as new:
        assert await everything(here) == await everything(there) == await everything(new) == before


async def test_all_goes_on(pair: Pair) -> None:
    """After a move both write, fork, clear, erase and sweep as before, and see what the other did."""
    here, there = pair
    await _fill(here)
    chat = there.session("chat", user_id="ann")
    await chat.history()
    await here.tenants.move(SECOND)
    await chat.add("user", "after")
    assert (await here.session("chat", user_id="ann").history())[-1].content == "after"
    await chat.fork("another")
    await there.session("chat", user_id="bob").clear()
    await here.session("new", user_id="bob").add("user", "anew")
    await here.erase_user("cleo")
    found = await everything(there)
    assert set(found) == {("ann", "chat"), ("ann", "another"), ("bob", "new")}
    assert found == await everything(here)
    assert (await there.sweep()).without_key == 0


async def test_nothing_is_left(stage: Stage, pair: Pair) -> None:
    """The server that was left holds no row and no head, not even those of what was destroyed; the other all."""
    here, there = pair
    await _fill(here)
    assert await stage.count(HOME) > len(await stage.handles()), "the heads of what was destroyed are there"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("securemem.moving._Mover._settle", _stopped)
        with pytest.raises(BackendUnavailableError, match="stopped"):
            await here.tenants.move(SECOND)
    for user in ("ann", "erased"):
        await there.session("in the middle", user_id=user).add("user", "hello")
    await here.erase_user("erased")
    await here.erase_user("bob")
    await here.tenants.move(SECOND)
    assert await stage.count(HOME) == 0
    assert set(await stage.copy(SECOND)) >= set(await stage.handles())


async def _stopped(*_: object, **__: object) -> Any:
    raise BackendUnavailableError("stopped")


async def test_there_and_back(stage: Stage, pair: Pair) -> None:
    """A tenant that goes back and forth keeps everything, and who was open all the time follows it."""
    here, there = pair
    await _fill(here)
    chat = there.session("chat", user_id="bob")
    await chat.history()
    for number, server in enumerate((SECOND, HOME, SECOND, HOME)):
        before = await everything(here)
        await here.tenants.move(server)
        assert await everything(here) == await everything(there) == before
        await chat.add("user", f"on {server}, {number}")
        await here.session(f"new {number}", user_id="ann").add("user", "new")
    assert set(await stage.copy(HOME)) == set(await stage.handles())
    assert await stage.count(SECOND) == 0


async def test_a_session_of_many_rows(stage: Stage, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session goes in several steps where it is long, and arrives whole; so do its ends and its pinned messages."""
    monkeypatch.setattr("securemem.handover._ROWS_TOGETHER", 7)
    here, there = pair
    long = here.session("long", user_id="ann")
    await long.add("system", "for ever", metadata={"pinned": True})
    for number in range(10):
        await long.add_many([Message("user", f"{number} {place}") for place in range(5)], ttl=10_000)
    before = await long.history(1000)
    assert (await here.tenants.move(SECOND)).records == len(before) == 51
    assert await there.session("long", user_id="ann").history(1000) == before
    async with stage.open() as new:
        assert await new.session("long", user_id="ann").history(1000) == before
        assert (await new.session("long", user_id="ann").context(max_messages=3))[0].content == "for ever"


async def test_deadlines_go_along(stage: Stage, clock: FakeClock) -> None:
    """What has an end is swept where it lies now."""
    async with stage.open(clock=clock) as memory:
        chat = memory.session("chat", user_id="ann")
        await chat.add("user", "short", ttl=60)
        await chat.add("user", "long", ttl=600)
        await memory.tenants.move(SECOND)
        clock.advance(61)
        assert (await memory.sweep()).records == 1
        assert [message.content for message in await chat.history()] == ["long"]
        clock.advance(600)
        assert (await memory.sweep()).sessions == 1
        clock.advance(601)
        assert (await memory.sweep()).closed_heads == 1


async def test_other_tenants_stay(stage: Stage) -> None:
    """A tenant that shares the server with one that is moved is not touched, and each is listed where it is."""
    async with stage.open("red") as red, stage.open("blue") as blue:
        await _fill(red)
        await _fill(blue)
        before = await everything(blue)
        await red.tenants.move(SECOND)
        assert await everything(red) == await everything(blue) == before
        wanted = [TenantPlace("blue", HOME, None, None), TenantPlace("red", SECOND, None, None)]
        assert await blue.tenants.list() == wanted
        await blue.erase_user("ann")
        await red.erase_user("bob")
    async with stage.open("red") as red, stage.open("blue") as blue:
        assert {user for user, _ in await everything(red)} == {"ann", "cleo"}
        assert {user for user, _ in await everything(blue)} == {"bob", "cleo"}


async def test_a_tenant_that_is_new(stage: Stage) -> None:
    """A tenant can be given its place before its first session."""
    async with stage.open("new") as memory:
        assert (await memory.tenants.move(SECOND)).sessions == 0
        await memory.session("first", user_id="ann").add("user", "hello")
    assert await stage.copy(HOME) == {}
    assert set(await stage.copy(SECOND)) == set(await stage.handles())


async def test_to_where_it_lies(pair: Pair) -> None:
    """Moving a tenant to where it lies does nothing."""
    here, _ = pair
    await _fill(here)
    report = await here.tenants.move(HOME)
    assert (report.source, report.target, report.sessions, report.residue) == (HOME, HOME, 0, [])


async def test_bad_input(pair: Pair, stage: Stage) -> None:
    """A server that is not named, a date that is past, and a move while another is under way are refused."""
    here, there = pair
    clock = (await here.host.ready()).clock
    with pytest.raises(ConfigurationError, match="no server 'third'"):
        await here.tenants.move("third")
    with pytest.raises(InvalidInputError, match="ahead"):
        await here.tenants.move(SECOND, backups_until=clock())
    with pytest.raises(InvalidInputError, match="time zone"):
        await here.tenants.move(SECOND, backups_until=clock().replace(tzinfo=None))
    keystore = (await here.host.ready()).keyring.keystore
    assert await keystore.set_route("messages\x1fdefault", Route(), Route(1, HOME, SECOND))
    with pytest.raises(ConflictError, match="being moved to 'second'"):
        await there.tenants.move(HOME)
    assert (await there.tenants.move(SECOND)).target == SECOND


async def test_a_server_of_another_deployment(stage: Stage) -> None:
    """A server that belongs to another deployment is refused, and the tenant stays where it is."""
    apart: dict[str, Any] = dict.fromkeys(("keystore", "ledger", "kms"), "memory://")
    stage.settle()
    async with SecureMemory.open(stage.urls[SECOND], **apart) as other:
        await other.session("theirs").add("user", "hello")
    stage.settle(SECOND)
    async with stage.open() as memory:
        await _fill(memory)
        before = await everything(memory)
        with pytest.raises(ConfigurationError, match="'second' belongs to deployment"):
            await memory.tenants.move(SECOND)
        assert (await memory.tenants.list())[0].moving_to is None
        assert await everything(memory) == before


async def test_one_database_by_two_names(stage: Stage) -> None:
    """A server that is the tenant's own by another URL is refused, also where a move goes on; nothing is changed."""
    url = stage.urls[HOME]
    stage.urls[SECOND] = url.replace("/home.db", "/./home.db") if url.startswith("sqlite") else f"{url}?sslmode=prefer"
    stage.settle(SECOND)
    async with stage.open() as memory:
        await _fill(memory)
        before, rows = await everything(memory), await stage.count(HOME)
        keystore = (await memory.host.ready()).keyring.keystore
        for route in (Route(), Route(1, HOME, SECOND)):
            with pytest.raises(ConfigurationError, match="'second' is the database that the tenant lies on already"):
                await memory.tenants.move(SECOND)
            assert (await everything(memory), await stage.count(HOME)) == (before, rows)
            assert await keystore.set_route("messages\x1fdefault", Route(), Route(1, HOME, SECOND)) == (
                route == Route()
            )


async def test_what_is_left_is_in_receipts(stage: Stage, clock: FakeClock) -> None:
    """A receipt of an erasure after a move names the copy in the backups of the server that was left, with its date."""
    async with stage.open(clock=clock) as memory:
        await _fill(memory)
        until = clock() + timedelta(days=30)
        assert "backups of server" not in str((await memory.erase_user("ann")).residue)
        report = await memory.tenants.move(SECOND, backups_until=until)
        [copy] = [left for left in report.residue if "backups of server 'default'" in left.what]
        assert (copy.store, copy.until) == ("data", until)
        assert copy in (await memory.erase_user("bob")).residue
        assert "backups of server" not in str((await memory.erase_user("nobody")).residue)
        clock.advance(31 * 86_400)
        assert copy not in (await memory.erase_user("cleo")).residue
        await memory.session("chat", user_id="ann").add("user", "again")
        [back, *_] = (await memory.tenants.move(HOME)).residue
        assert "backups of server 'second'" in back.what
        assert back.until is None
        assert back in (await memory.erase_user("ann")).residue
