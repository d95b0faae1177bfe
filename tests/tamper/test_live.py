"""What a handle that is open does when the data goes back, goes away or is exchanged under it."""

from __future__ import annotations

import copy

import pytest

from securemem import (
    BackendUnavailableError,
    CorruptRecordError,
    IntegrityError,
    Message,
    PlaintextError,
    ReorderedError,
    SecureMemory,
)
from securemem.keys.rows import Floor

from .access import HEAD, Rows, at, opened
from .attacks import ATTACKS, Attack
from .store import FOREIGN, TRIP, WORK, Store, lost_race

_HEAD_ATTACKS = [
    pytest.param(attack, id=attack.name)
    for attack in ATTACKS
    if attack.seq is None and attack.session == TRIP and not attack.file_only
]


def _without(rows: Rows, session: int) -> Rows:
    return {row: body for row, body in rows.items() if row >> 32 != session}


@pytest.mark.parametrize("attack", _HEAD_ATTACKS)
async def test_nothing_is_appended_to_another_head(attack: Attack, store: Store) -> None:
    """A handle that knows its head refuses to append where another one, an older one or none lies in its place."""
    chat, before = store.chat(TRIP), store.rows()
    truth = await chat.history()
    changed = dict(before)
    attack.change(changed, store.loot)
    store.put(changed)
    with pytest.raises(IntegrityError) as caught:
        await chat.add("user", "SECRET new")
    assert type(caught.value) is attack.error
    assert caught.value.session == store.handle(TRIP)
    assert store.rows() == changed, "nothing was written"
    store.put(before)
    assert await chat.history() == truth


async def test_no_seq_twice_under_one_key(any_store: Store) -> None:
    """A new session that vanished under a live handle is not begun anew at its first place under the same key."""
    before = any_store.rows()
    chat = any_store.memory.session("new-talk", user_id="new-real")
    await chat.add_many([Message("user", "SECRET 1"), Message("user", "SECRET 2")])
    assert any_store.rows() != before
    any_store.put(before)
    for _ in range(2):
        with pytest.raises(ReorderedError):
            await chat.add("user", "SECRET again")
        with pytest.raises(ReorderedError):
            await chat.history()
    assert any_store.rows() == before, "nothing was written"


async def test_two_states_of_one_version(any_store: Store) -> None:
    """Of two genuine heads of one version, a handle accepts only the one that it has seen."""
    chat, before = any_store.chat(TRIP), any_store.rows()
    shared = await any_store.memory.host.conversation(chat.user_id, chat.session_id, ())
    await chat.history()
    known = copy.copy(shared.newest)
    await chat.add("user", "SECRET one")
    one = any_store.rows()
    any_store.put(before)
    shared.newest = known
    await chat.add("user", "SECRET other")
    other = any_store.rows()
    assert one != other
    any_store.put(one)
    with pytest.raises(ReorderedError):
        await chat.history()
    any_store.put(other)
    assert (await chat.history())[-1].content == "SECRET other"


async def test_a_lost_pair_on_a_page_from_the_middle(any_store: Store) -> None:
    """Two records that lost together are refused in the winners' places, on a page that begins between them too."""
    chat = any_store.memory.session("new-talk", user_id="new-real")
    await chat.add("user", "SECRET 1")
    lost = await lost_race(any_store.memory, chat, 2)
    await chat.add("user", "SECRET 6")
    truth, before = await chat.history(), any_store.rows()
    number = max(row >> 32 for row in before)
    for seq, raw in lost:
        any_store.put_one(at(number, seq), raw)
    accepted = 0
    for limit, top in ((100, None), (1, 3), (2, 3), (2, 4)):
        try:
            part = await chat.history(limit, top)
        except IntegrityError:
            continue
        accepted += part != [message for message in truth if message.seq and message.seq < (top or 99)][-limit:]
    assert accepted == 0


async def test_rollback_after_the_floor(file_store: Store) -> None:
    """What was closed at a newer state is refused in an older one, and a whole session missing is no new session."""
    store, older = file_store, file_store.rows()
    async with store.memory:
        await store.chat(TRIP).add("user", "SECRET 9")
    newest = store.rows()
    for rows in (older, _without(newest, TRIP)):
        store.put(rows)
        async with store.open() as memory:
            for use in (store.chat(TRIP, memory).history(), store.chat(TRIP, memory).add("user", "SECRET")):
                with pytest.raises(ReorderedError):
                    await use
        assert store.rows() == rows
    store.put(newest)
    async with store.open() as memory:
        assert (await store.chat(TRIP, memory).history())[-1].content == "SECRET 9"


async def test_floors_of_all_sessions(file_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose handle is long gone is held to its newest state too, once the store was closed."""
    monkeypatch.setattr("securemem.conversations.RECENT_SESSIONS", 1)
    store, older = file_store, file_store.rows()
    async with store.memory:
        await store.chat(TRIP).add("user", "SECRET 9")
        for number in range(3):
            await store.memory.session(f"other-{number}").add("user", "SECRET")
    store.put({row: body for row, body in store.rows().items() if row >> 32 != TRIP} | _of(older, TRIP))
    async with store.open() as memory:
        with pytest.raises(ReorderedError):
            await store.chat(TRIP, memory).history()


async def test_floors_that_the_keystore_did_not_take(file_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept till it does, and the sessions in use go on meanwhile."""
    monkeypatch.setattr("securemem.conversations.MOST_FLOORS", 1)
    store, older, asked = file_store, file_store.rows(), list[list[Floor]]()

    async def refuse(floors: list[Floor]) -> None:
        asked.append(floors)
        raise BackendUnavailableError("away")

    async with store.memory:
        await store.chat(TRIP).add("user", "SECRET 9")
        with monkeypatch.context() as patch:
            patch.setattr((await store.memory.host.ready()).keyring.keystore, "raise_floors", refuse)
            for number in range(3):
                await store.memory.session(f"other-{number}").add("user", "SECRET")
        assert asked, "the control: it was told before the store was closed"
    store.put({row: body for row, body in store.rows().items() if row >> 32 != TRIP} | _of(older, TRIP))
    async with store.open() as memory:
        with pytest.raises(ReorderedError):
            await store.chat(TRIP, memory).history()


async def test_a_session_that_comes_further_while_floors_are_raised(
    file_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is held to where it has come to then, and not to what the keystore was being told."""
    monkeypatch.setattr("securemem.conversations.MOST_FLOORS", 0)
    store, told = file_store, list[Floor]()
    async with store.memory:
        chat = store.chat(TRIP)
        await chat.add("user", "SECRET 9")
        older = store.rows()
        keystore = (await store.memory.host.ready()).keyring.keystore
        raise_floors = keystore.raise_floors

        async def late(floors: list[Floor]) -> None:
            if not told:
                told.extend(floors)
                await chat.add("user", "SECRET 10")
            await raise_floors(floors)

        monkeypatch.setattr(keystore, "raise_floors", late)
        await store.memory.session("other").add("user", "SECRET")
        assert store.handle(TRIP) in {floor.session.hex() for floor in told}
    store.put({row: body for row, body in store.rows().items() if row >> 32 != TRIP} | _of(older, TRIP))
    async with store.open() as memory:
        with pytest.raises(ReorderedError):
            await store.chat(TRIP, memory).history()


def _of(rows: Rows, session: int) -> Rows:
    return {row: body for row, body in rows.items() if row >> 32 == session}


async def test_handles_exchanged(file_store: Store) -> None:
    """Two sessions whose numbers were exchanged are refused: a head is bound to its session's handle."""
    with opened(file_store.url.removeprefix("sqlite:///")) as con:
        handles = dict(con.execute("SELECT number, handle FROM messages_sessions"))
        assert len(set(handles.values())) == len(handles)
        con.execute("UPDATE messages_sessions SET handle = x'00' WHERE number = ?", (TRIP,))
        con.execute("UPDATE messages_sessions SET handle = ? WHERE number = ?", (handles[TRIP], WORK))
        con.execute("UPDATE messages_sessions SET handle = ? WHERE number = ?", (handles[WORK], TRIP))
    async with file_store.memory:
        with pytest.raises(CorruptRecordError) as caught:
            await file_store.chat(TRIP).history()
    assert caught.value.session == handles[TRIP].hex()


async def test_fork_and_listing_refuse_too(any_store: Store) -> None:
    """A fork copies nothing out of a session with a changed record, and a listing does not pass over a changed head."""
    chat, rows = any_store.chat(TRIP), any_store.rows()
    await chat.history()
    any_store.put_one(at(TRIP, 2), b"hello")
    with pytest.raises(PlaintextError):
        await chat.fork("branch")
    assert await any_store.memory.session("branch", user_id=chat.user_id).history() == []
    any_store.put_one(at(TRIP, 2), rows[at(TRIP, 2)])
    any_store.put_one(at(TRIP, HEAD), rows[at(WORK, HEAD)])
    with pytest.raises(CorruptRecordError):
        _ = [info async for info in any_store.memory.sessions()]
    any_store.put(rows)
    assert len([info async for info in any_store.memory.sessions()]) == 4


async def test_the_other_tenant_is_untouched(file_store: Store) -> None:
    """An attack on one tenant's session is none on the same ids of another tenant."""
    file_store.put_one(at(TRIP, 5), b"hello")
    acme: SecureMemory = file_store.open("acme")
    async with file_store.memory, acme:
        with pytest.raises(PlaintextError):
            await file_store.chat(TRIP).history()
        found = await file_store.chat(TRIP, acme).history()
    assert [message.content for message in found] == [f"SECRET acme {seq}" for seq in range(1, 9)]
    assert len(_of(file_store.rows(), FOREIGN)) == 9
