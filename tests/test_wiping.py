"""Keys are wiped on every way out: also where a step fails, with all that was unwrapped for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from securemem import BackendUnavailableError, IntegrityError, KMSUnavailableError, SecureMemory
from securemem.rights import telling
from tests.epochs.store import fill
from tests.rawkeys import assert_wiped, watch
from tests.retention.store import INVOICE, INVOICES, add, inside, opened, policy, texts
from tests.test_damagedkeys import ROWS, damage

if TYPE_CHECKING:
    from tests.conftest import FakeClock

TELLING = policy("erasure:\n  notify: [{id: crm, url_env: CRM_URL}]\n")


def _failing_at(call: Callable[..., Awaitable[Any]], number: int) -> Callable[..., Awaitable[Any]]:
    """Give a call that fails when it is made for so many times."""
    calls = count(1)

    async def failing(*arguments: Any, **named: Any) -> Any:
        if next(calls) == number:
            raise KMSUnavailableError("the KMS does not answer")
        return await call(*arguments, **named)

    return failing


async def test_a_rotation_that_fails(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At whatever key the KMS, or the keystore, does not answer."""
    memory = SecureMemory.open(file_url)
    await fill(memory)
    keyring, ends = (await inside(memory)).keyring, []
    with monkeypatch.context() as patch:
        made = watch(patch)
        for store, name in ((keyring.kms, "wrap"), (keyring.keystore, "add_tenant_key"), (keyring.keystore, "rewrap")):
            for number in range(1, 5):
                with patch.context() as failing:
                    failing.setattr(store, name, _failing_at(getattr(store, name), number))
                    try:
                        await memory.keys.rotate()
                    except KMSUnavailableError:
                        ends.append(name)
        await memory.close()
    assert set(ends) == {"wrap", "add_tenant_key", "rewrap"}
    assert_wiped(made)


@pytest.mark.parametrize("row", ROWS)
async def test_a_row_that_was_damaged(
    file_url: str, clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str
) -> None:
    """Whatever could be unwrapped on the way to what does not open."""
    async with opened(file_url, clock, "plain") as memory:
        await fill(memory)
        keys = await (await inside(memory)).keyring.find("ann", "one")
    assert keys is not None
    damage(tmp_path, *ROWS[row], keys.handle)
    with monkeypatch.context() as patch:
        made = watch(patch)
        memory = opened(file_url, clock, "plain")
        with pytest.raises(IntegrityError):
            await texts(memory.session("one", user_id="ann"))
        with pytest.raises(IntegrityError):
            [info async for info in memory.sessions()]
        with pytest.raises(IntegrityError):
            await memory.keys.rotate()
        await memory.close()
    assert_wiped(made)


@pytest.mark.parametrize("step", ["wrap", "renew_user"])
async def test_an_erasure_that_fails(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """When the next key of a person is made, for what a law keeps of them."""
    memory = opened(file_url, clock, policy(rules=INVOICES))
    await add(memory.session("s", user_id="alice"), "invoice", **INVOICE)
    await add(memory.session("s", user_id="bob"), "said", user_id="alice", **INVOICE)
    keyring = (await inside(memory)).keyring
    with monkeypatch.context() as patch:
        made = watch(patch)
        patch.setattr(keyring.kms if step == "wrap" else keyring.keystore, step, _away)
        with pytest.raises(BackendUnavailableError):
            await memory.erase_user("alice")
        await memory.close()
    assert_wiped(made)


async def _away(*_: object, **__: object) -> None:
    raise BackendUnavailableError("it does not answer")


async def test_a_notice_that_cannot_be_prepared(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the KMS does not answer, or a text cannot be sealed; the person is there still."""
    memory = opened(file_url, clock, TELLING)
    await add(memory.session("s", user_id="alice"), "x")
    with monkeypatch.context() as patch:
        made = watch(patch)
        patch.setattr(telling, "wrap_key", _away)
        with pytest.raises(BackendUnavailableError):
            await memory.erase_user("alice")
        await memory.close()
    assert_wiped(made)
