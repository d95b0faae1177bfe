"""kill -9 before each step of a request, on each backend: whoever goes on comes to the same end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from securemem import ConflictError, LegalHoldError, Message, SecureMemory
from securemem.interrupted import GRACE_SECONDS
from securemem.ledger.holds import Holds
from securemem.ledger.outbox import Outbox
from securemem.testing.processes import Child

from .receivers import SECRET, Receiver, answers, receiver
from .store import INVOICE, LASTING, inside

CHILD = str(Path(__file__).parents[1] / "processes" / "request.py")
POLICY = """apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: mine}
rules:
  - {id: invoices, match: {tag: invoice}, ttl: 30d, keep_for: 1y, keep_basis: {article: gdpr-17-3-b}}
erasure: {notify: [{id: crm, url_env: CRM_URL}]}
"""
KINDS = ["erasure", "restriction", "objection", "access", "held"]
MOST_STEPS = 100
PATIENCE = 100


@pytest.fixture
def policy(tmp_path: Path) -> str:
    """Give the file of a policy by which invoices are kept."""
    path = tmp_path / "mine.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return str(path)


@pytest.fixture
async def crm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Receiver]:
    """Give the recipient that this policy names."""
    async with receiver(answers(204)) as found:
        monkeypatch.setenv("CRM_URL", found.url)
        monkeypatch.setenv("CRM_URL_SECRET", SECRET)
        yield found


async def _begin(url: str, policy: str, tenant: str, kind: str) -> tuple[str, str]:
    """Fill a tenant and take a request down; gives what is to be done by which id."""
    async with SecureMemory.open(url, policy=policy, tenant=tenant) as memory:
        invoice, plain = Message("user", "invoice", metadata=INVOICE["metadata"]), Message("user", "plain")
        await memory.session("s", user_id="alice").add_many([invoice, plain])
        await memory.session("t", user_id="alice").add_many([plain])
        guest = [Message("user", "hi"), Message("user", "guest", user_id="alice"), Message("user", "bye")]
        await memory.session("s", user_id="bob").add_many(guest)
        if kind != "held":
            return "verify", (await memory.requests.receive(kind, "alice")).id
        hold = await memory.holds.place("alice", session_id="t", reason_code="CASE-1")
        with pytest.raises(LegalHoldError):
            await memory.erase_user("alice")
        return "release", hold.id


def _later() -> datetime:
    """Give a moment by which workers go on with what somebody began by now."""
    return datetime.now(UTC) + timedelta(seconds=GRACE_SECONDS)


async def _go_on(url: str, policy: str, tenant: str, todo: tuple[str, str], crm: Receiver) -> dict[str, Any]:
    """Do what is still to be done, as a worker does and as whoever asked for it does again; give what is there."""
    what, name = todo
    async with SecureMemory.open(url, policy=policy, tenant=tenant, clock=_later) as memory:
        await memory.retention.work()
        [request] = await memory.requests.list(everything=True)
        if what == "verify" and request.state == "received":
            await memory.requests.verify(name)
        if what == "release" and await memory.holds.list():
            await memory.holds.release(name)
        for each in await memory.requests.list():
            if each.state in ("verified", "executing"):
                with pytest.raises(ConflictError):
                    await memory.requests.verify(name)
        await memory.retention.work()
        for _ in range(PATIENCE):
            if "awaiting" not in [each.state for each in await memory.requests.list()]:
                break
            await asyncio.sleep(0.1)  # a process that was killed has the lease for a second
            await memory.retention.work()
        return await _end(memory, crm)


async def _end(memory: SecureMemory, crm: Receiver) -> dict[str, Any]:
    """Give all that can be told of a tenant from outside, and what lies in its stores."""
    deployment = await inside(memory)
    [request] = await memory.requests.list(everything=True)
    _, receipt = await memory.requests.show(request.id)
    standing = await Holds(deployment.ledger, deployment.keyring.tenant).active(kind=None)
    people = [await deployment.keyring.find_user(user) for user in ("alice", "bob")]
    sessions = [(row, session) async for row, session in deployment.keyring.rows(None)]
    lying = [len((await deployment.backend.tail(session.handle, 100)).rows) for _, session in sessions]
    told = [came for came in crm.came if came.told["data"]["request"] == request.id]
    _, given = await Outbox(deployment.ledger, deployment.keyring.tenant).answers(bytes.fromhex(request.id))
    return {
        "told": sorted({(came.told["type"], came.told["data"]["user_id"]) for came in told}),
        "ids": len({came.headers["webhook-id"] for came in told}),
        "acknowledged": [each.acked_at is not None for each in given],
        "request": (request.state, request.basis),
        "receipt": receipt["receipt"]["state"] if receipt is not None else None,
        "alice": [item.get("content") async for item in memory.export_user("alice") if item["kind"] == "message"],
        "bob": [item.get("content") async for item in memory.export_user("bob") if item["kind"] == "message"],
        "standing": sorted(each.kind for each in standing),
        "generations": [row.generation if row is not None else None for row in people],
        "lying": sorted(lying),
        "restricted": sorted([info.restricted async for info in memory.sessions()]),
    }


async def _run(
    url: str, policy: str, tenant: str, how: tuple[str, int], crm: Receiver
) -> tuple[int, int | None, dict[str, Any]]:
    """Have a request of some kind carried out by a process that is killed before a step, and then by others."""
    kind, last = how
    what, name = await _begin(url, policy, tenant, kind)
    child = Child(CHILD, url, policy, tenant, what, name, str(last))
    child.release()
    ended = await asyncio.to_thread(child.finish)
    assert ended.errors == ""
    steps = ended.lines[-1] if ended.lines else None
    return ended.code, steps, await _go_on(url, policy, tenant, (what, name), crm)


async def _each_step(url: str, policy: str, kind: str, every: int, crm: Receiver) -> None:
    code, steps, wanted = await _run(url, policy, "whole", (kind, 0), crm)
    assert code == 0
    assert steps is not None
    assert 3 <= steps < MOST_STEPS
    for last in range(1 + every // 2, steps + 1, every):
        code, _, found = await _run(url, policy, f"{kind} {last}", (kind, last), crm)
        assert code == -9
        assert found == wanted, f"killed before step {last} of {steps}"


@LASTING
@pytest.mark.timeout(900)
@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
async def test_killed_before_each_step(url: str, policy: str, kind: str, crm: Receiver) -> None:
    """A process that is killed before any step of a request is followed by another, to the same end."""
    await _each_step(url, policy, kind, 1, crm)


@LASTING
@pytest.mark.parametrize(("kind", "every"), [("erasure", 9), ("held", 11)])
async def test_killed_before_some_steps(url: str, policy: str, kind: str, every: int, crm: Receiver) -> None:
    """The same, before some."""
    await _each_step(url, policy, kind, every, crm)


@pytest.mark.timeout(300)
async def test_killed_between_sending_and_writing_it_down(file_url: str, policy: str, crm: Receiver) -> None:
    """A recipient is told again by whoever goes on, under the same id, and the end is the same."""
    _, steps, wanted = await _run(file_url, policy, "whole", ("restriction", 0), crm)
    assert steps is not None
    for last in range(steps, 0, -1):
        before = len(crm.came)
        code, _, found = await _run(file_url, policy, f"killed {last}", ("restriction", last), crm)
        assert (code, found) == (-9, wanted)
        if len(crm.came) - before > 1:
            return
    pytest.fail("no step lies between the two")


async def test_the_end_is_told_apart(file_url: str, policy: str, crm: Receiver) -> None:
    """Each kind of request ends otherwise, so that none would pass for another."""
    ends = []
    for number, kind in enumerate(KINDS):
        what, name = await _begin(file_url, policy, f"tenant {number}", kind)
        ends.append(await _go_on(file_url, policy, f"tenant {number}", (what, name), crm))
    kinds = {str(end) for end in ends}
    assert len(kinds) == len(KINDS) - 1, "a restriction and an objection are the same"
    assert all(one == other for one, other in itertools.pairwise(ends[1:3]))
