"""Rows exchanged, removed, injected and put back: refused with a cold handle and with a warm one."""

from __future__ import annotations

import itertools

import pytest

from securemem import IntegrityError, Message, Session

from .attacks import ATTACKS, Attack
from .store import SECRETS, TRIP, Store

_FILE = [pytest.param(attack, id=attack.name) for attack in ATTACKS]


async def refused(chat: Session, attack: Attack, handle: str, truth: list[Message]) -> None:
    """Read in every way: all of it raises the right error, and a part raises or gives only what was written."""
    for read in (chat.history, chat.context):
        with pytest.raises(IntegrityError) as caught:
            await read()
        error = caught.value
        assert attack.error in (type(error), IntegrityError), repr(error)
        assert (error.session, error.seq) == (handle, attack.seq), repr(error)
        assert not any(secret in str(error) for secret in SECRETS)
    accepted = 0
    for limit, before in itertools.product((1, 2, 4, 7), (None, 4, 6, 8)):
        try:
            part = await chat.history(limit, before)
        except IntegrityError:
            continue
        accepted += part != [message for message in truth if message.seq and message.seq < (before or 99)][-limit:]
    assert accepted == 0


@pytest.mark.parametrize("attack", _FILE)
async def test_warm(attack: Attack, store: Store) -> None:
    """A handle that has read the session finds the attack, and reads on when it is undone."""
    if attack.file_only and store.url == "memory://":
        return
    chat, before = store.chat(attack.session), store.rows()
    truth = await chat.history()
    assert len(truth) == {TRIP: 8}.get(attack.session, len(truth)) > 0
    changed = dict(before)
    attack.change(changed, store.loot)
    store.put(changed)
    assert store.rows() == changed != before
    await refused(chat, attack, store.handle(attack.session), truth)
    store.put(before)
    assert await chat.history() == truth


@pytest.mark.parametrize("attack", _FILE)
async def test_cold(attack: Attack, file_store: Store) -> None:
    """A store that is opened after the attack finds it too, and reads the untouched rows when they are put back."""
    store, before = file_store, file_store.rows()
    async with store.open() as memory:
        truth = await store.chat(attack.session, memory).history()
    changed = dict(before)
    attack.change(changed, store.loot)
    store.put(changed)
    assert store.rows() == changed != before
    async with store.memory:
        await refused(store.chat(attack.session), attack, store.handle(attack.session), truth)
    store.put(before)
    store.memory = store.open()
    async with store.memory:
        assert await store.chat(attack.session).history() == truth
