"""Closing a store: it waits for whatever is under way, whoever asked for that, and can be done again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from securemem import BackendUnavailableError, ConfigurationError, SecureMemory, Session, overview
from securemem.compose import Deployment
from securemem.kms.file import FileKms
from securemem.policy import Policy
from securemem.underway import UnderWay
from tests.noting import noting
from tests.privacy.policies import EMAIL, PSEUDONYMS

PEOPLE, SESSIONS = 3, 12


class Scene(NamedTuple):
    """An open store, a folder, a request that waits to be verified, and a hold that stands."""

    memory: SecureMemory
    folder: Path
    request: str
    hold: str


Call = Callable[[Scene], Awaitable[Any]]


async def _all(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


CALLS: dict[str, Call] = {
    "show_user": lambda scene: scene.memory.show_user("0"),
    "erase_user": lambda scene: scene.memory.erase_user("0"),
    "restrict_user": lambda scene: scene.memory.restrict_user("0"),
    "sweep": lambda scene: scene.memory.sweep(),
    "status": lambda scene: scene.memory.status(),
    "caveats": lambda scene: scene.memory.caveats(),
    "backup": lambda scene: scene.memory.backup(scene.folder / "data.smb"),
    "requests.verify": lambda scene: scene.memory.requests.verify(scene.request),
    "requests.list": lambda scene: scene.memory.requests.list(),
    "holds.place": lambda scene: scene.memory.holds.place("0", reason_code="court"),
    "holds.release": lambda scene: scene.memory.holds.release(scene.hold),
    "keys.rotate": lambda scene: scene.memory.keys.rotate(),
    "keys.close_epoch": lambda scene: scene.memory.keys.close_epoch(without_backup=True),
    "audit.verify": lambda scene: scene.memory.audit.verify(),
    "retention.plan": lambda scene: scene.memory.retention.plan(),
    "retention.work": lambda scene: scene.memory.retention.work(),
    "retention.explain": lambda scene: scene.memory.retention.explain("0", 1, user_id="0"),
    "prove_erasure": lambda scene: scene.memory.prove_erasure(memory=False),
    "tenants.list": lambda scene: scene.memory.tenants.list(),
    "reveal_stream": lambda scene: _all(scene.memory.session("0", user_id="0").reveal_stream(["[EMAIL_ADDRESS_1]"])),
}
"""What is begun as one call."""
STEPS: dict[str, Callable[[SecureMemory], AsyncIterator[Any]]] = {
    "export_user": lambda memory: memory.export_user("0"),
    "sessions": lambda memory: memory.sessions(),
    "audit.export": lambda memory: memory.audit.export(),
}
"""What is gone through step by step."""


@pytest.fixture
async def url(tmp_path: Path, pseudonyms: Policy) -> str:
    """Give the URL of a store in which some people said something."""
    url = f"sqlite:///{tmp_path}/store.db"
    async with SecureMemory.open(url, policy=pseudonyms) as memory:
        for number in range(SESSIONS):
            await memory.session(str(number), user_id=str(number % PEOPLE)).add("user", f"write to {EMAIL}")
    return url


@pytest.fixture
def pseudonyms() -> Policy:
    """Give a policy that makes pseudonyms, so that there is something to reveal."""
    return PSEUDONYMS


async def _closed_beneath(call: Call, url: str, policy: Policy, folder: Path, turns: int) -> None:
    """Close a store when a call has gone on for so many turns of the loop, and wait for both."""
    memory = SecureMemory.open(url, policy=policy)
    await memory.session("0", user_id="0").history()
    request = await memory.requests.receive("erasure", "1")
    hold = await memory.holds.place("2", reason_code="court")
    asked = asyncio.ensure_future(call(Scene(memory, folder, request.id, hold.id)))
    for _ in range(turns):
        await asyncio.sleep(0)
    closing = asyncio.create_task(memory.close())
    done = await asyncio.gather(asked, closing, return_exceptions=True)
    assert done[1] is None
    assert memory.host.deployment is None
    if isinstance(done[0], BaseException):
        raise done[0]


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_is_waited_for(name: str, url: str, pseudonyms: Policy, tmp_path: Path) -> None:
    """Whatever was begun before a store is closed is done whole."""
    await _closed_beneath(CALLS[name], url, pseudonyms, tmp_path, turns=3)


@pytest.mark.parametrize("counted", [True, False])
async def test_one_that_is_not_counted_is_cut_off(
    url: str, pseudonyms: Policy, monkeypatch: pytest.MonkeyPatch, *, counted: bool
) -> None:
    """The control: a call that has stopped in its middle is closed beneath where it is not counted."""
    gate = asyncio.Event()

    async def slow(deployment: Deployment) -> bytes:
        await gate.wait()
        return deployment.keyring.keyed_hash(b"with a key that is wiped when the store is closed")

    monkeypatch.setattr(overview, "overview", slow)
    memory = SecureMemory.open(url, policy=pseudonyms)
    await memory.session("0", user_id="0").history()
    if not counted:
        monkeypatch.setattr(UnderWay, "begin", lambda _: None)
        monkeypatch.setattr(UnderWay, "end", lambda _: None)
    status = asyncio.create_task(memory.status())
    await asyncio.sleep(0)
    closing = asyncio.create_task(memory.close())
    await asyncio.wait([closing], timeout=0.5)
    assert closing.done() is not counted
    gate.set()
    await closing
    if counted:
        assert await status is not None
    else:
        with pytest.raises(ValueError, match="wiped"):
            await status


@pytest.mark.parametrize("name", STEPS)
async def test_between_two_steps(name: str, url: str, pseudonyms: Policy) -> None:
    """Who goes through something step by step keeps no store open, and is told at the next one that it was closed."""
    memory = SecureMemory.open(url, policy=pseudonyms)
    await memory.erase_user("2")
    items = STEPS[name](memory)
    await anext(items)
    async with asyncio.timeout(10):
        await memory.close()
    with pytest.raises(ConfigurationError, match="was closed"):
        await anext(items)


async def test_within_a_step(url: str, pseudonyms: Policy) -> None:
    """A step that is under way is waited for."""
    for name, begin in STEPS.items():
        with noting(name):
            memory = SecureMemory.open(url, policy=pseudonyms)
            await memory.session("0", user_id="0").history()
            step = asyncio.ensure_future(anext(begin(memory)))
            await asyncio.sleep(0)
            await memory.close()
            assert await step


async def _held(chat: Session, gate: asyncio.Event) -> asyncio.Task[None]:
    """Begin a call on a session that goes on until the gate is opened."""
    begun = asyncio.Event()

    async def wait(_: object) -> None:
        begun.set()
        await gate.wait()

    call = asyncio.create_task(chat._with(wait))
    await begun.wait()
    return call


async def test_again_after_it_was_cancelled(url: str, pseudonyms: Policy) -> None:
    """A close that its caller gave up waiting for lets no new call in, and the next one does it."""
    memory, gate = SecureMemory.open(url, policy=pseudonyms), asyncio.Event()
    call = await _held(memory.session("0", user_id="0"), gate)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await memory.close()
    with pytest.raises(ConfigurationError, match="was closed"):
        await memory.status()
    gate.set()
    await call
    await memory.close()
    assert memory.host.deployment is None


async def test_twice_at_once(url: str, pseudonyms: Policy) -> None:
    """Two that close it while a call is under way both wait for that, and both go on."""
    memory, gate = SecureMemory.open(url, policy=pseudonyms), asyncio.Event()
    call = await _held(memory.session("0", user_id="0"), gate)
    closes = [asyncio.create_task(memory.close()) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert not any(close.done() for close in closes)
    gate.set()
    async with asyncio.timeout(10):
        await asyncio.gather(call, *closes)
    assert memory.host.deployment is None


async def test_again_after_its_last_part_was_cancelled(
    url: str, pseudonyms: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A close that is given up while a store is being closed closes the others too, and the next one waits for that."""
    memory, gate = SecureMemory.open(url, policy=pseudonyms), asyncio.Event()
    deployment = await memory.host.ready()
    close = deployment.backend.aclose

    async def slow() -> None:
        await gate.wait()
        await close()

    monkeypatch.setattr(deployment.backend, "aclose", slow)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await memory.close()
    again = asyncio.create_task(memory.close())
    await asyncio.sleep(0.01)
    assert not again.done()
    gate.set()
    await again
    await _assert_closed(deployment)


async def test_one_store_that_is_cancelled_keeps_no_other_open(
    url: str, pseudonyms: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the loop itself ends while a store is being closed, the others are closed."""
    memory = SecureMemory.open(url, policy=pseudonyms)
    deployment = await memory.host.ready()
    close = deployment.backend.aclose

    async def cancelled() -> None:
        await close()
        raise asyncio.CancelledError

    monkeypatch.setattr(deployment.backend, "aclose", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await memory.close()
    await _assert_closed(deployment)


async def _assert_closed(deployment: Deployment) -> None:
    """Check that data and keystore answer no more, and that the KMS has no KEK in memory."""
    with pytest.raises(BackendUnavailableError, match="closed"):
        await deployment.backend.tail(bytes(16), 0)
    with pytest.raises(BackendUnavailableError, match="closed"):
        await deployment.keyring.keystore.counts()
    kms = deployment.keyring.kms
    assert isinstance(kms, FileKms)
    assert not kms._keks


async def test_what_is_planted_to_prove_an_erasure_goes(url: str, pseudonyms: Policy, tmp_path: Path) -> None:
    """A proof whose caller stops waiting while the store is closed leaves nobody behind who is not real."""
    memory = SecureMemory.open(url, policy=pseudonyms)
    planting = asyncio.Event()
    proof = asyncio.create_task(memory.prove_erasure(memory=False, say=lambda _: planting.set()))
    await planting.wait()
    closing = asyncio.create_task(memory.close())
    await asyncio.sleep(0.01)
    proof.cancel()
    done = await asyncio.gather(proof, closing, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1] is None
    async with SecureMemory.open(url, policy=pseudonyms) as memory:
        assert {info.user_id async for info in memory.sessions()} == {str(number) for number in range(PEOPLE)}


async def test_only_what_is_within_a_call_goes_on(url: str, pseudonyms: Policy) -> None:
    """What a call has begun, and has outlived it, is let in no more than anybody else once the store is closed."""
    memory, gate = SecureMemory.open(url, policy=pseudonyms), asyncio.Event()
    outlived: list[asyncio.Task[Any]] = []

    async def late() -> None:
        await gate.wait()
        await memory.status()

    async def pace(_: int) -> bool:
        outlived.append(asyncio.create_task(late()))
        return True

    await memory.retention.work(pace=pace)
    call = await _held(memory.session("0", user_id="0"), asyncio.Event())
    closing = asyncio.create_task(memory.close())
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(ConfigurationError, match="was closed"):
        await outlived[0]
    call.cancel()
    await asyncio.wait([call])
    await closing
