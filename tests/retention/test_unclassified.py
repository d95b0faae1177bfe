"""Classes: known to whoever opens the store, quarantined when the ledger has lost them, and nobody's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from securemem import SecureMemory
from securemem.ledger.classes import Classes
from securemem.testing import assert_absent, assert_found, make_canary

from .store import DAY, LASTING, SCRATCH, TAGGED, add, infos, inside, opened, policy, rows, run_sql, texts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

LOSE = "DELETE FROM {classes}"


@LASTING
async def test_another_process_knows_what_one_has_made(url: str, clock: FakeClock) -> None:
    """Whatever class a message is of, another process that is open reads it at once, and ends it in time."""
    rules = SCRATCH + "  - {id: b, match: {tag: b}, ttl: 2d}\n"
    async with opened(url, clock, policy(rules=rules)) as one, opened(url, clock, policy(rules=rules)) as other:
        chat, theirs = one.session("s", user_id="alice"), other.session("s", user_id="alice")
        await add(chat, "first", **TAGGED)
        assert await texts(theirs) == ["first"]
        await add(chat, "second", metadata={"tags": ["b"]})
        assert await texts(theirs) == ["first", "second"], "a class that came right after the last look"
        clock.advance(DAY)
        assert await texts(theirs) == await texts(chat) == ["second"]
        assert (await other.sweep()).records == 1


@LASTING
async def test_a_class_that_was_lost_is_quarantined(url: str, clock: FakeClock) -> None:
    """Its messages are kept, unread and counted, by a worker too; once the ledger has it back they are read."""
    rules = policy(rules=SCRATCH)
    async with opened(url, clock, rules) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "tagged", **TAGGED)
        await add(chat, "plain")
        assert await texts(chat) == ["tagged", "plain"], "the control"
        await run_sql(memory, LOSE)
    async with opened(url, clock, rules) as memory:
        chat = memory.session("s", user_id="alice")
        assert await texts(chat) == [message.content for message in await chat.context()] == ["plain"]
        clock.advance(10 * DAY)
        plan, report = await memory.retention.plan(), await memory.sweep()
        assert (plan.quarantined, plan.by_rules, report.quarantined, report.records) == (1, 0, 1, 0)
        assert await rows(memory, chat) == 2
        await memory.session("t", user_id="alice").add("user", "anew", **TAGGED)  # type: ignore[arg-type]
    async with opened(url, clock, rules) as memory:
        clock.advance(DAY)
        assert (await memory.sweep()).records == 2, "over by now, and known again"
        assert await rows(memory, memory.session("s", user_id="alice")) == 1
    clock.advance(-10 * DAY)


@LASTING
async def test_what_is_back_is_read_again(url: str, clock: FakeClock) -> None:
    """The number of a class is the same for good: whoever makes it anew makes its messages readable."""
    rules = policy(rules=SCRATCH)
    async with opened(url, clock, rules) as memory:
        await add(memory.session("s", user_id="alice"), "tagged", **TAGGED)
        await run_sql(memory, LOSE)
    async with opened(url, clock, rules) as memory:
        chat = memory.session("s", user_id="alice")
        assert await texts(chat) == []
        assert await infos(memory) == {"s": 0}
        [said] = await add(chat, "again", **TAGGED)
        assert said.expires_at is not None
        assert said.expires_at > clock.now
        assert await texts(chat) == ["tagged", "again"]


@LASTING
async def test_defaults_may_take_what_is_not_classified(url: str, clock: FakeClock) -> None:
    """With `on_unclassified: defaults` such a message is read, and lives as long as one that no rule is for."""
    async with opened(url, clock, policy(rules=SCRATCH)) as memory:
        await add(memory.session("s", user_id="alice"), "tagged", **TAGGED)
        await run_sql(memory, LOSE)
    lax = policy("defaults: {ttl: 2d, on_unclassified: defaults}\n", SCRATCH)
    async with opened(url, clock, lax) as memory:
        chat = memory.session("s", user_id="alice")
        clock.advance(2 * DAY - 1)
        assert await texts(chat) == ["tagged"]
        clock.advance(1)
        assert await texts(chat) == []
        assert (await memory.sweep()).sessions == 1


async def test_the_ledger_has_no_tag_no_purpose_and_no_text(file_url: str, clock: FakeClock, tmp_path: Path) -> None:
    """A class is keyed hashes of a caller's words; the same look finds one that was put there in clear."""
    canaries = [make_canary(name) for name in ("tag", "session", "purpose", "text")]
    tag, session_tag, purpose, text = canaries
    mine = policy(rules=f"  - {{id: r, match: {{any: [{{tag: {tag}}}, {{purpose: {purpose}}}]}}, ttl: 1d}}\n")
    ledger = [tmp_path / name for name in ("store.ledger.db", "store.ledger.db-wal")]
    async with opened(file_url, clock, "default") as memory:
        chat = memory.session("s", user_id="alice", tags=(session_tag,), purpose=purpose, actor="agent:a")
        await add(chat, text, metadata={"tags": [tag]})
    async with opened(file_url, clock, mine) as memory:
        await add(memory.session("t", user_id="alice", purpose=purpose), text, metadata={"tags": [tag]})
        deployment = await inside(memory)
        assert_absent([tmp_path], [session_tag, text])
        assert_absent(ledger, [tag, purpose])
        classes = Classes(deployment.ledger, deployment.keyring.tenant, deployment.keyring.keyed_hash)
        await classes.make(frozenset({("tag", tag), ("purpose", purpose)}))
        assert_found(ledger, [tag, purpose])


async def test_tenants_have_classes_of_their_own(file_url: str, clock: FakeClock) -> None:
    """The same tag has another number and other hashes with another tenant, whose loss of it is its own."""
    numbers: list[dict[int, object]] = []
    for tenant in ("one", "two"):
        async with SecureMemory.open(file_url, clock=clock, policy=policy(rules=SCRATCH), tenant=tenant) as memory:
            await add(memory.session("s", user_id="alice"), "tagged", **TAGGED)
            lives = (await inside(memory)).lives
            numbers.append(dict(lives._classes._facts))
    assert set(numbers[0]) & set(numbers[1]) == {0}
    hashes = [{fact for facts in each.values() for fact in facts} for each in numbers]  # type: ignore[attr-defined]
    assert hashes[0]
    assert not hashes[0] & hashes[1]
