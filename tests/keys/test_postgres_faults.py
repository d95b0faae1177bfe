"""Replies that are lost at every place: nothing is inserted twice, nothing is lost, nothing comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from securemem.errors import BackendUnavailableError
from securemem.keys.postgreskeystore import PostgresKeystore
from securemem.keys.rows import COMING, OPEN, Floor, Found, Minted
from securemem.model import Stamp
from securemem.postgres import Connection
from securemem.testing.faultproxy import FaultProxy
from securemem.testing.keystore.hooks import (
    FIRST,
    STAMP,
    guard,
    guest_key,
    handle,
    mint,
    new_session,
    new_user,
    number_of,
    person,
    row_of,
    session_row,
    tag,
    tenant_keys,
    tenant_of,
)
from securemem.testing.keystore.rotating import SECOND, open_second, rewrapped

CUTS = 8
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"

Try = Callable[[PostgresKeystore], Coroutine[None, None, object]]


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[FaultProxy]:
    """Give a proxy before the test's database."""
    server = urlsplit(postgres_url)
    async with FaultProxy(server.hostname or "", server.port or 0) as proxy:
        yield proxy


@pytest.fixture
async def shaky(proxy: FaultProxy, postgres_url: str, keystore: PostgresKeystore) -> AsyncIterator[PostgresKeystore]:
    """Give the keystore, reached through the proxy by one connection."""
    parts = urlsplit(postgres_url)
    through = parts._replace(netloc=f"{parts.username}:{parts.password}@{proxy.host}:{proxy.port}")
    shaky = PostgresKeystore(through.geturl(), {"pool_size": "1"})
    await shaky.open()
    yield shaky
    await shaky.aclose()


async def _cuts(proxy: FaultProxy, keystore: PostgresKeystore, act: Try) -> Iterator[int]:
    """Do something unhindered, and give the places at which its replies can be cut: 0, then spread over them all."""
    await act(keystore)
    before = proxy.replies.passed
    await act(keystore)
    length = proxy.replies.passed - before
    assert length > CUTS
    return iter(sorted({0, length - 1, *range(0, length, length // CUTS)}))


async def test_a_mint_whose_reply_is_lost(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """A mint that was made is DONE; one of which nothing is there says EXISTS, and with new handles is DONE."""
    tenant = await tenant_of(keystore)

    async def act(keystore: PostgresKeystore) -> None:
        await mint(keystore, new_user(tenant))

    for count, cut in enumerate(await _cuts(proxy, shaky, act), 3):
        user, session = new_user(tenant), new_session()
        accepted = proxy.accepted
        proxy.replies.cut_after(cut)
        answer = await mint(shaky, user, session)
        proxy.heal()
        assert proxy.accepted > accepted, "the control: the connection was cut"
        found = await keystore.find([user.tag], [session.tag])
        if answer is Minted.EXISTS:
            assert found == Found(FIRST, None, None)
            answer = await mint(shaky, user._replace(handle=handle()), session._replace(handle=handle()))
        else:
            assert found.session == session_row(session)
        assert answer is Minted.DONE
        assert await keystore.counts() == (count, count)


async def test_a_mint_that_was_made_and_shredded_since(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """The second try of a mint whose person was erased between brings their handles not back."""
    tenant = await tenant_of(keystore)
    user, session = new_user(tenant), new_session()
    await mint(shaky, new_user(tenant))  # so that the statement is prepared
    proxy.replies.cut_after(0)
    proxy.refuse()
    minting = asyncio.create_task(mint(shaky, user, session))
    while (row := await keystore.user_row(user.handle)) is None:  # noqa: ASYNC110  (the store has no event)
        await asyncio.sleep(0.01)
    assert await keystore.shred_user(row.number, known={session.handle})
    await proxy.accept()
    assert await minting is Minted.EXISTS
    assert await keystore.counts() == (1, 1)


async def test_a_guest_whose_reply_is_lost(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """A guest's key is there once, or not at all and then can be added."""
    tenant, host = await tenant_of(keystore), await person(keystore)
    session = host.session.handle

    async def act(keystore: PostgresKeystore) -> None:
        await keystore.add_guest(session, new := new_user(tenant), guest_key(), guard(new))

    for count, cut in enumerate(await _cuts(proxy, shaky, act), 3):
        new, key = new_user(tenant), guest_key()
        proxy.replies.cut_after(cut)
        answer = await shaky.add_guest(session, new, key, guard(new))
        proxy.heal()
        there = key in [row.key for row in await keystore.guests(session)]
        assert there == (answer is Minted.DONE)
        if not there:
            assert await shaky.add_guest(session, new, key, guard(new)) is Minted.DONE
        assert len(await keystore.guests(session)) == count
        assert await keystore.counts() == (1 + count, 1)


async def test_a_shredding_whose_reply_is_lost(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """A shredding is made once it returns, wherever its replies were cut; nobody else is touched."""

    async def act(keystore: PostgresKeystore) -> None:
        user, session = await person(keystore)
        before = proxy.replies.passed
        assert await keystore.shred_user(await number_of(keystore, user), known={session.handle})
        lengths.append(proxy.replies.passed - before)

    lengths: list[int] = []
    await act(shaky)
    await act(shaky)
    stays = await person(keystore)
    for cut in range(0, lengths[1], lengths[1] // CUTS):
        user, session = await person(keystore)
        number = await number_of(keystore, user)
        last = new_session()
        assert await mint(keystore, row_of(user), last) is Minted.DONE
        proxy.replies.cut_after(cut)
        await shaky.shred_session(last.handle)
        proxy.heal()
        proxy.replies.cut_after(cut)
        assert await shaky.shred_user(number, known={session.handle})
        proxy.heal()
        assert await keystore.counts() == (1, 1)
    assert (await keystore.find([stays.user.tag], [stays.session.tag])).session == session_row(stays.session)


async def test_a_rewrap_whose_reply_is_lost(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """A user is rewrapped once, key and tags together."""
    people = [await person(keystore) for _ in range(CUTS + 2)]
    await open_second(keystore)
    rows = [row for _, row in await keystore.users_under(SECOND, 99)]
    lengths = []
    for ann, row in zip(people[:2], rows[:2], strict=True):
        before = proxy.replies.passed
        await shaky.rewrap(row, rewrapped([(tag(), ann.session.handle)]))
        lengths.append(proxy.replies.passed - before)
    for place, (ann, row) in enumerate(zip(people[2:], rows[2:], strict=True)):
        new = rewrapped([(tag(), ann.session.handle)])
        proxy.replies.cut_after(place * lengths[1] // CUTS)
        await shaky.rewrap(row, new)
        proxy.heal()
        found = await keystore.find([new.tag], [new.sessions[0][0]])
        assert (found.user, found.session) == (
            row._replace(epoch=SECOND, wrapped=new.wrapped),
            session_row(ann.session),
        )


async def test_a_switch_whose_reply_is_lost(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """A switch is made once, and the one who made it is told so, wherever its replies were cut."""
    tenant, length = await tenant_of(keystore), 0
    for epoch in range(FIRST, FIRST + CUTS):
        await keystore.add_epoch(epoch + 1, COMING, 2000)
        for row in tenant_keys(epoch + 1):
            await keystore.add_tenant_key(tenant, row)
        before = proxy.replies.passed
        if epoch > SECOND:
            proxy.replies.cut_after((epoch - SECOND - 1) * length // CUTS)
        assert await shaky.switch_epoch(epoch, epoch + 1, 3000)
        proxy.heal()
        if epoch <= SECOND:
            length = proxy.replies.passed - before
        assert [row.state for row in await keystore.epochs()] == ["sealed"] * epoch + [OPEN]


async def test_small_writes_whose_reply_is_lost(
    shaky: PostgresKeystore, keystore: PostgresKeystore, proxy: FaultProxy
) -> None:
    """Stamp, floor and tenant are as they were asked for, once, wherever the reply was cut."""
    ann = await person(keystore)
    for cut in (0, 1, 20, 40, 60):
        proxy.replies.cut_after(cut)
        await shaky.stamp(Stamp(b"another's number", 10 + cut))
        proxy.heal()
        proxy.replies.cut_after(cut)
        await shaky.raise_floors([Floor(ann.session.handle, 10 + cut, cut)])
        proxy.heal()
        proxy.replies.cut_after(cut)
        answer = await shaky.add_tenant(handle(), f"late {cut}", tenant_keys(FIRST))
        proxy.heal()
        assert answer in (Minted.DONE, Minted.EXISTS)
        assert await keystore.stamp_now() == Stamp(STAMP.deployment, 10 + cut)
        found = await keystore.find([ann.user.tag], [ann.session.tag])
        assert found.session == session_row(ann.session, 10 + cut, cut)
        known = await keystore.tenant(f"late {cut}")
        assert known is not None
        assert len(await keystore.tenant_keys(known[0])) == 3


async def test_a_backup_that_is_cut(shaky: PostgresKeystore, proxy: FaultProxy, tmp_path: Path) -> None:
    """A backup that could not be read to its end is an error and leaves no file; the next one is whole."""
    await person(shaky)
    before = proxy.replies.passed
    digest = await shaky.backup(tmp_path / "whole.db")
    length = proxy.replies.passed - before
    for cut in (0, length // 2, length - 200):
        proxy.replies.cut_after(cut)
        with pytest.raises(BackendUnavailableError):
            await shaky.backup(tmp_path / "cut.db")
        proxy.heal()
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith("cut")] == []
    assert await shaky.backup(tmp_path / "cut.db") == digest


@pytest.mark.parametrize("when", ["before", "meanwhile"])
async def test_a_backup_from_a_server_that_says_nothing(
    when: str, proxy: FaultProxy, postgres_url: str, keystore: PostgresKeystore, tmp_path: Path
) -> None:
    """A backup does not wait for ever: each of its steps may take as long as any other call."""
    await mint(keystore, new_user(await tenant_of(keystore)))
    parts = urlsplit(postgres_url)
    through = parts._replace(netloc=f"{parts.username}:{parts.password}@{proxy.host}:{proxy.port}")
    silent = PostgresKeystore(through.geturl(), {"timeout": "0.4", "patience": "1"})
    await silent.open()
    if when == "before":
        proxy.replies.swallow()
    else:
        asyncio.get_running_loop().call_later(0.02, proxy.replies.swallow)
    began = time.monotonic()
    with contextlib.suppress(BackendUnavailableError):  # it may have been quicker than the silence
        await silent.backup(tmp_path / "copy.db")
        assert when == "meanwhile"
    assert time.monotonic() - began < 3
    await silent.aclose()


async def test_a_restore_into_a_server_that_says_nothing(
    proxy: FaultProxy, postgres_url: str, keystore: PostgresKeystore, admin: Connection, tmp_path: Path
) -> None:
    """A restore does not wait for ever either, and the backup stays."""
    await keystore.backup(tmp_path / "copy.db")
    parts = urlsplit(postgres_url)
    through = parts._replace(netloc=f"{parts.username}:{parts.password}@{proxy.host}:{proxy.port}")
    silent = PostgresKeystore(through.geturl(), {"timeout": "1", "patience": "1", "schema": "copied"})
    await silent.counts()  # makes the tables
    async with admin.transaction(), asyncio.timeout(10):
        await admin.execute("LOCK TABLE copied.securemem_keystore_stamp IN EXCLUSIVE MODE")
        adopting = asyncio.create_task(silent.adopt(tmp_path / "copy.db"))
        while not await admin.fetchval(WAITING):  # noqa: ASYNC110  (the server has no event for it that would reach us)
            await asyncio.sleep(0.01)
        proxy.replies.swallow()
        with pytest.raises(BackendUnavailableError):
            await adopting
    assert (tmp_path / "copy.db").exists()
    await silent.aclose()
