"""A hold that comes while something is destroyed and is released before that is through: nothing is forgotten of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

from securemem import LegalHoldError, SecureMemory
from securemem.ending import Outcome
from securemem.ledger.acts import Act, ActKind
from securemem.ledger.holds import Holds, Kind
from securemem.preserving import Preserving
from tests.conftest import FakeClock

from .store import INVOICE, INVOICES, add, exported, inside, opened, policy, texts

if TYPE_CHECKING:
    from securemem.rights.hold import LegalHold

RULES = policy(rules=INVOICES)


async def _around(
    memory: SecureMemory,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[], Awaitable[object]],
    after: Callable[[], Awaitable[object]],
) -> None:
    """Let something be done right before and right after an act is carried out, once."""
    destruction = (await inside(memory)).destruction
    real, done = destruction.carry_out, False

    async def carry_out(act: Act, *, purge_seconds: float | None) -> Outcome:
        nonlocal done
        first, done = not done, True
        if first:
            await before()
        outcome = await real(act, purge_seconds=purge_seconds)
        if first:
            await after()
        return outcome

    monkeypatch.setattr(destruction, "carry_out", carry_out)


async def test_an_erasure_does_what_a_hold_put_off(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hold is gone when the erasure returns, and so is everything."""
    async with opened(file_url, clock, RULES) as memory, opened(file_url, clock, RULES) as other:
        await add(memory.session("s", user_id="alice"), "hello")
        holds: list[LegalHold] = []

        async def place() -> None:
            holds.append(await other.holds.place("alice", reason_code="CASE-1"))

        async def release() -> None:
            await (await inside(other)).office.holding.release(holds[0].id, actor=None)

        await _around(memory, monkeypatch, place, release)
        await memory.erase_user("alice")
        assert await (await inside(memory)).keyring.keystore.counts() == (0, 0)
        assert [request.state for request in await memory.requests.list(everything=True)] == ["complete"]


async def test_a_clear_says_that_a_hold_forestalled_it(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was destroyed, and whoever asked for it is told so."""
    async with opened(file_url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "hello")
        holds: list[LegalHold] = []

        async def place() -> None:
            holds.append(await memory.holds.place("alice", reason_code="CASE-1"))

        async def nothing() -> None:
            pass

        await _around(memory, monkeypatch, place, nothing)
        with pytest.raises(LegalHoldError):
            await chat.clear()
        acts = await (await inside(memory)).ledger.acts()
        assert [act.tombstones for act in acts if act.kind is ActKind.CLEAR] == [()], "no restored store loses it"
        await memory.holds.release(holds[0].id)
        assert await texts(chat) == ["hello"]


@pytest.mark.parametrize("what", ["clear", "erase"])
async def test_nothing_is_preserved_of_what_a_hold_spares(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What was set apart before the hold came is gone again: it is there once, where it is rectified and exported."""
    async with opened(file_url, clock, RULES) as memory, opened(file_url, clock, RULES) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        await add(chat, "bill", user_id="bob", **INVOICE)
        preserve = Preserving.preserve

        async def late(self: Preserving, *arguments: Any, **options: Any) -> None:
            monkeypatch.setattr(Preserving, "preserve", preserve)
            await preserve(self, *arguments, **options)
            assert len(await exported(other, "alice")) == 3, "the control: it was there twice"
            await other.holds.place("alice", session_id="s", reason_code="CASE-1")

        monkeypatch.setattr(Preserving, "preserve", late)
        with pytest.raises(LegalHoldError):
            await (chat.clear() if what == "clear" else memory.erase_user("alice"))
        assert await exported(memory, "alice") == ["invoice", "bill"]
        assert await exported(memory, "bob") == ["bill"]
        deployment = await inside(memory)
        standing = await Holds(deployment.ledger, deployment.keyring.tenant).active(kind=None)
        assert [each.kind for each in standing] == [Kind.HOLD]


async def test_a_clear_that_a_hold_forestalled_for_a_moment(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the hold is released before the clear has seen to it, the session is cleared, and its caller told so."""
    async with opened(file_url, clock, RULES) as memory, opened(file_url, clock, RULES) as other:
        chat = memory.session("s", user_id="alice")
        await add(chat, "invoice", **INVOICE)
        preserve, strays = Preserving.preserve, Preserving.strays
        placed: list[LegalHold] = []

        async def late(self: Preserving, *arguments: Any, **options: Any) -> None:
            monkeypatch.setattr(Preserving, "preserve", preserve)
            await preserve(self, *arguments, **options)
            placed.append(await other.holds.place("alice", session_id="s", reason_code="CASE-1"))

        async def released(self: Preserving, *arguments: Any) -> set[bytes]:
            monkeypatch.setattr(Preserving, "strays", strays)
            await other.holds.release(placed[0].id)
            return await strays(self, *arguments)

        monkeypatch.setattr(Preserving, "preserve", late)
        monkeypatch.setattr(Preserving, "strays", released)
        await chat.clear()
        assert placed
        assert await texts(memory.session("s", user_id="alice")) == []
        assert await exported(memory, "alice") == ["invoice"]
