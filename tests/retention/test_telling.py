"""Recipients are told of what was done for a person, once they are there, and a request waits for them."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, STDOUT
from typing import TYPE_CHECKING, Any

import pytest

from securemem import InvalidInputError, SecureMemory
from securemem.crypto.notice import open_notice
from securemem.crypto.secret import RawKey
from securemem.rights import telling
from securemem.rights.receipt import verify_receipt

from .receivers import OLD_SECRET, SECRET, answers, is_signed, receiver
from .store import DAY, HOUR, add, dump, inside, ledger_bytes, opened, policy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

CRM = policy("erasure: {notify: [{id: crm, url_env: CRM_URL, ack_within: 7d}]}\n")
BOTH = policy("erasure: {notify: [{id: crm, url_env: CRM_URL}, {id: mail, url_env: MAIL_URL}]}\n")
RUN = [sys.executable, "-c", "from securemem.cli import main; main()"]
FILE = """apiVersion: securemem/v1
kind: RetentionPolicy
metadata: {name: mine}
erasure: {notify: [{id: crm, url_env: CRM_URL, ack_within: 1s}]}
"""
NAME = "alice.of.wonderland@example.com"


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give both recipients their secrets."""
    monkeypatch.setenv("CRM_URL_SECRET", SECRET)
    monkeypatch.setenv("MAIL_URL_SECRET", f"{SECRET} {OLD_SECRET}")


async def erased(memory: SecureMemory, user: str = NAME) -> tuple[str, dict[str, Any]]:
    """Erase somebody of whom something is held; gives the request's id and the receipt."""
    await add(memory.session("s", user_id=user), "x")
    receipt = await memory.erase_user(user)
    [request] = [each for each in await memory.requests.list(everything=True) if each.handle == receipt.handle]
    return request.id, receipt.to_json()["receipt"]


async def state_of(memory: SecureMemory, request: str) -> str:
    """Give how far a request is."""
    return (await memory.requests.show(request))[0].state


def said(receipt: Any) -> list[str]:
    """Give what a receipt says of recipients."""
    return [each["what"] for each in receipt["residue"] if each["store"] == "recipients"]


async def test_a_recipient_is_told(url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The erasure waits for it, is complete once it has answered, and the receipt says no more of it."""
    async with receiver(answers(204)) as crm, opened(url, clock, CRM) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        request, receipt = await erased(memory)
        assert said(receipt) == ["what recipient 'crm' was given: it is told, and has until 2026-03-09"]
        assert await state_of(memory, request) == "awaiting"
        await memory.retention.work()
        [came] = crm.came
        assert came.line == "POST /erase?from=us HTTP/1.1"
        assert came.told == {
            "type": "person.erased",
            "timestamp": clock.now.isoformat(),
            "data": {"user_id": NAME, "request": request},
        }
        assert is_signed(came, SECRET)
        assert not is_signed(came, OLD_SECRET)
        found, renewed = await memory.requests.show(request)
        assert (found.state, found.done_at) == ("complete", clock.now)
        assert renewed is not None
        verify_receipt(renewed, (await inside(memory)).keyring.signer.public_key)
        assert said(renewed["receipt"]) == []
        await memory.retention.work()
        assert len(crm.came) == 1


async def test_a_failure_is_tried_again_later(file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """500, then 200: not before its time, under the same id, and signed anew."""
    async with receiver(answers(500, 200)) as crm, opened(file_url, clock, CRM) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        request, _ = await erased(memory)
        await memory.retention.work()
        await memory.retention.work()
        assert (len(crm.came), await state_of(memory, request)) == (1, "awaiting")
        clock.advance(34)
        await memory.retention.work()
        assert await state_of(memory, request) == "complete"
        first, second = crm.came
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) == 34
        assert first.headers["webhook-signature"] != second.headers["webhook-signature"]
        assert is_signed(second, SECRET)


async def test_a_dead_recipient_leaves_it_partial(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried until its time is over, then given up; the receipt says so; told again, it may become complete."""
    async with receiver(answers(410)) as crm, receiver(answers(200)) as mail, opened(file_url, clock, BOTH) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        monkeypatch.setenv("MAIL_URL", mail.url)
        request, _ = await erased(memory)
        while await state_of(memory, request) == "awaiting":
            await memory.retention.work()
            clock.advance(HOUR)
        found, receipt = await memory.requests.show(request)
        assert found.state == "partial"
        assert receipt is not None
        assert said(receipt["receipt"]) == [
            "what recipient 'crm' was given: it never confirmed, and was given up on 2026-03-09; tell them"
        ]
        assert len(mail.came) == 1
        assert 28 <= len(crm.came) <= 60
        assert {came.headers["webhook-id"] for came in crm.came} == {crm.came[0].headers["webhook-id"]}
        assert is_signed(mail.came[0], OLD_SECRET)
        assert is_signed(mail.came[0], SECRET)
        crm.behaviour = answers(200)
        assert (await memory.requests.retry(request)).state == "awaiting"
        await memory.retention.work()
        assert await state_of(memory, request) == "complete"
        with pytest.raises(InvalidInputError):
            await memory.requests.retry(request)


async def test_nothing_in_clear(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The person's id is in no byte of the ledger, and with the last answer the key that sealed it is gone."""
    async with receiver(answers(200)) as crm, opened(file_url, clock, CRM) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        await erased(memory)
        [(_, _, _, _, wrapped, *_)] = (await dump(memory))["outbox_keys"]
        assert wrapped.startswith(b"SK\x01"), "the control: a key was there"
        assert b"crm" in ledger_bytes(tmp_path), "the control: what stands in clear is found"
        assert NAME.encode() not in ledger_bytes(tmp_path)
        await memory.retention.work()
        assert NAME.encode() in crm.came[0].body, "the control: it was sent"
        tables = await dump(memory)
        [(_, _, _, _, wrapped, *_)], [(_, _, _, sealed, *_)] = tables["outbox_keys"], tables["outbox"]
        assert (wrapped, sealed) == (None, None)
        assert NAME.encode() not in ledger_bytes(tmp_path)


async def test_a_rotation_takes_the_notices_along(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was queued under an epoch that is destroyed since can still be sent."""
    async with receiver(answers(200)) as crm, opened(file_url, clock, CRM) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        request, _ = await erased(memory)
        assert await memory.keys.close_epoch(without_backup=True) == [1]
        await memory.retention.work()
        assert await state_of(memory, request) == "complete"


async def test_by_command(file_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The worker tells, `request retry` has it told again, and neither says whom it is about."""
    monkeypatch.setenv("SECUREMEM_URL", file_url)
    monkeypatch.setenv("SECUREMEM_POLICY", "mine.yaml")
    (tmp_path / "mine.yaml").write_text(FILE, encoding="utf-8")

    async def run(*arguments: str) -> tuple[int, str]:
        child = await asyncio.create_subprocess_exec(*RUN, *arguments, "--json", stdout=PIPE, stderr=STDOUT)
        said, _ = await child.communicate()
        return child.returncode or 0, said.decode()

    async with receiver(answers(503)) as crm:
        monkeypatch.setenv("CRM_URL", crm.url)
        async with SecureMemory.open(file_url, policy="mine.yaml") as memory:
            request, _ = await erased(memory)
        assert (await run("request", "retry", request))[0] == 2
        said = ""
        while json.loads((await run("request", "show", request))[1])["state"] == "awaiting":
            code, more = await run("worker", "--once")
            assert code == 0
            said += more
        assert crm.came
        crm.behaviour = answers(200)
        code, again = await run("request", "retry", request)
        assert (code, json.loads(again)["state"]) == (0, "awaiting")
        await run("worker", "--once")
        code, shown = await run("request", "show", request)
        assert (code, json.loads(shown)["state"]) == (0, "complete")
        assert NAME not in said + again + shown


@pytest.mark.parametrize(
    ("kind", "told"), [("restriction", "person.restricted"), ("rectification", "person.rectified")]
)
async def test_other_requests_too(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, kind: str, told: str
) -> None:
    """Recipients are told of a restriction, and of a rectification once somebody says that it is done."""
    async with receiver(answers(200)) as crm, opened(file_url, clock, CRM) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        await add(memory.session("s", user_id=NAME), "x")
        request = await memory.requests.receive(kind, NAME)
        done = await memory.requests.verify(request.id)
        done = await memory.requests.complete(request.id) if kind == "rectification" else done
        assert done.state == "awaiting"
        await memory.retention.work()
        assert await state_of(memory, request.id) == "complete"
        assert [came.told["type"] for came in crm.came] == [told]


async def test_what_is_missing_is_a_failure(file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no URL, or no secret, nobody is told, the doctor says why, and it is tried again once it is there."""
    async with receiver(answers(200)) as crm, opened(file_url, clock, CRM) as memory:
        monkeypatch.delenv("CRM_URL_SECRET")
        assert any("CRM_URL is not set" in each for each in await memory.caveats())
        request, _ = await erased(memory)
        await memory.retention.work()
        monkeypatch.setenv("CRM_URL", crm.url)
        assert any("CRM_URL_SECRET has to hold" in each for each in await memory.caveats())
        clock.advance(DAY)
        await memory.retention.work()
        assert (crm.came, await state_of(memory, request)) == ([], "awaiting")
        monkeypatch.setenv("CRM_URL_SECRET", SECRET)
        assert not any("crm" in each for each in await memory.caveats())
        clock.advance(DAY)
        await memory.retention.work()
        assert await state_of(memory, request) == "complete"


@pytest.mark.parametrize("damaged", [True, False])
async def test_a_notice_that_does_not_open(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, damaged: bool
) -> None:
    """It is a failure like another, and its key is wiped as after one that does."""
    keys: list[RawKey] = []

    def kept(raw: RawKey, sealed: bytes, **place: Any) -> bytes:
        keys.append(raw)
        return open_notice(raw, sealed[:-1] + bytes([sealed[-1] ^ damaged]), **place)

    monkeypatch.setattr(telling, "open_notice", kept)
    async with receiver(answers(200)) as crm, opened(file_url, clock, CRM) as memory:
        monkeypatch.setenv("CRM_URL", crm.url)
        request, _ = await erased(memory)
        await memory.retention.work()
        assert await state_of(memory, request) == ("awaiting" if damaged else "complete")
    assert keys
    for key in keys:
        with pytest.raises(ValueError, match="wiped"):
            key.expose_secret()


@pytest.mark.parametrize("where", ["file", "postgres"])
async def test_many_workers_tell_once(
    file_url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, where: str
) -> None:
    """Whatever the ledger lies in: of several workers at once one sends each notice, and the requests are complete."""
    ledger = request.getfixturevalue("postgres_url") if where == "postgres" else None
    people = [f"{number}@example.com" for number in range(3)]
    async with (
        receiver(answers(200)) as crm,
        opened(file_url, clock, CRM, ledger=ledger) as memory,
        opened(file_url, clock, CRM, ledger=ledger) as other,
    ):
        monkeypatch.setenv("CRM_URL", crm.url)
        for person in people:
            await erased(memory, person)
        await asyncio.gather(*(each.retention.work() for each in (memory, other)))
        await memory.retention.work()
        assert sorted(came.told["data"]["user_id"] for came in crm.came) == people
        assert [each.state for each in await memory.requests.list(everything=True)] == ["complete"] * 3
