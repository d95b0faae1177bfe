"""What somebody left before it was through is seen through by the next worker, in a store that stays open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from securemem import SecureMemory, UserRestrictedError
from securemem.interrupted import GRACE_SECONDS
from securemem.ledger.acts import ActKind, Edit
from securemem.ledger.holds import Holds
from securemem.model import to_milliseconds

from .store import add, handle_of, inside, rows, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock


async def _clear(memory: SecureMemory) -> None:
    session = await handle_of(memory, memory.session("s", user_id="alice"))
    await (await inside(memory)).destruction.decide_session(session, 1, ActKind.CLEAR)


async def _erasure(memory: SecureMemory) -> None:
    deployment = await inside(memory)
    person = await deployment.keyring.find_user("alice")
    assert person is not None
    await deployment.destruction.decide(person.handle, person.generation)


async def _hold(memory: SecureMemory) -> None:
    deployment = await inside(memory)
    person = await deployment.keyring.find_user("alice")
    assert person is not None
    holds = Holds(deployment.ledger, deployment.keyring.tenant)
    await holds.place(person.handle, None, reason="CASE-1", at=to_milliseconds(deployment.clock()))


async def _is_gone(memory: SecureMemory) -> bool:
    chat = memory.session("s", user_id="alice")
    return await rows(memory, chat) == 0 and await texts(chat) == []


async def _is_held(memory: SecureMemory) -> bool:
    try:
        return await texts(memory.session("s", user_id="alice")) == []
    except UserRestrictedError:
        return True


@pytest.mark.parametrize(
    ("leave", "is_done"),
    [(_clear, _is_gone), (_erasure, _is_gone), (_hold, _is_held)],
    ids=["clear", "erasure", "hold"],
)
async def test_a_worker_sees_through_what_was_left(
    memory: SecureMemory,
    clock: FakeClock,
    leave: Callable[[SecureMemory], Awaitable[None]],
    is_done: Callable[[SecureMemory], Awaitable[bool]],
) -> None:
    """It is left to whoever decided it for ten minutes, and done by the first worker after that."""
    await add(memory.session("s", user_id="alice"), "One", "Two")
    await memory.sweep()  # the first one goes over all sessions, and marks those that are held
    await leave(memory)
    clock.advance(GRACE_SECONDS - 1)
    assert (await memory.retention.work()).resumed == 0
    assert not await is_done(memory)
    clock.advance(1)
    assert (await memory.retention.work()).resumed == 1
    assert await is_done(memory)
    assert (await memory.status()).interrupted == 0
    assert (await memory.retention.work()).resumed == 0


async def test_a_rectification_that_was_never_made_is_given_up(memory: SecureMemory, clock: FakeClock) -> None:
    """The message stays as it was, and can be rectified."""
    chat = memory.session("s", user_id="alice")
    await add(chat, "One")
    deployment = await inside(memory)
    keys = await deployment.keyring.find("alice", "s")
    assert keys is not None
    await deployment.destruction.corrections.decide(keys, Edit(seq=1, version=99))
    clock.advance(GRACE_SECONDS)
    assert (await memory.retention.work()).resumed == 1
    assert await texts(chat) == ["One"]
    assert (await memory.status()).interrupted == 0
    await chat.rectify(1, "Two")
    assert await texts(chat) == ["Two"]
