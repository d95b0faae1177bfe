"""Who may see and do what: purposes and rights, by the actor that a handle names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from securemem import AccessDeniedError

from .store import EMAIL, LASTING, add, opened, policy, run_sql, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

CARE = "access: {purposes: {care: [agent:clinic], support: [agent:support, agent:clinic]}}\n"
ROLES = """pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}
access:
  roles: {agent: [read, write], scribe: [write], reader: [read], dpo: [erase, hold, reveal], auditor: [audit]}
"""
HEALTH = "  - {id: health, match: {tag: health}, purpose: care, ttl: 30d}\n"


async def test_a_purpose_is_for_its_actors(url: str, clock: FakeClock) -> None:
    """By each read only those whom the policy names see it; others see the rest; the application sees all."""
    async with opened(url, clock, policy(CARE, HEALTH)) as memory:
        writer = memory.session("s", user_id="alice", purpose="care", actor="agent:clinic")
        await add(writer, "by purpose")
        await add(memory.session("s", user_id="alice"), "by rule", metadata={"tags": ["health"]})
        await add(memory.session("s", user_id="alice", purpose="support"), "support")
        await add(memory.session("s", user_id="alice", purpose="billing"), "nobody's")
        await add(memory.session("s", user_id="alice"), "plain")
        await memory.session("s", user_id="alice").add(
            "system", "pinned", metadata={"pinned": True, "tags": ["health"]}
        )
        rest = ["support", "nobody's", "plain"]
        for actor, expected in {
            None: ["by purpose", "by rule", *rest, "pinned"],
            "agent:clinic": ["by purpose", "by rule", *rest, "pinned"],
            "agent:support": rest,
            "agent:other": ["nobody's", "plain"],
        }.items():
            for _ in range(2):
                chat = memory.session("s", user_id="alice", actor=actor)
                assert await texts(chat) == expected, "whoever has read before"
                assert {message.content for message in await chat.context()} == set(expected)
                assert await texts(chat, limit=2, before=6) == [each for each in expected if each != "pinned"][-2:]
                assert len(await chat.context(max_messages=1)) == 1


@LASTING
async def test_another_process_keeps_to_purposes(url: str, clock: FakeClock) -> None:
    """Whoever opens the store under the policy, it is kept to; and what is not classified is for no actor."""
    mine = policy("defaults: {on_unclassified: defaults}\n" + CARE, HEALTH)
    async with opened(url, clock, mine) as memory:
        await add(memory.session("s", user_id="alice", purpose="care"), "care")
    async with opened(url, clock, mine) as memory:
        assert await texts(memory.session("s", user_id="alice", actor="agent:other")) == []
        assert await texts(memory.session("s", user_id="alice", actor="agent:clinic")) == ["care"]
        await run_sql(memory, "DELETE FROM {classes}")
    async with opened(url, clock, mine) as memory:
        assert await texts(memory.session("s", user_id="alice", actor="agent:clinic")) == []
        assert await texts(memory.session("s", user_id="alice")) == ["care"]


async def test_a_fork_shows_nobody_more(file_url: str, clock: FakeClock) -> None:
    """A copy is for whom its message was: who forks sees in it what they saw, and others see theirs."""
    async with opened(file_url, clock, policy(CARE, HEALTH)) as memory:
        await add(memory.session("s", user_id="alice", purpose="care"), "care")
        await add(memory.session("s", user_id="alice"), "plain")
        branch = await memory.session("s", user_id="alice", actor="agent:other").fork("branch")
        assert await texts(branch) == ["plain"]
        for actor, expected in {"agent:other": ["plain"], "agent:clinic": ["care", "plain"]}.items():
            assert await texts(memory.session("branch", user_id="alice", actor=actor)) == expected


async def test_rights_are_by_role(file_url: str, clock: FakeClock) -> None:
    """Each call is refused to an actor whose role does not have it, and to one of no role; who reveals may read."""
    async with opened(file_url, clock, policy(ROLES)) as memory:
        await add(memory.session("s", user_id="alice"), f"ask {EMAIL}")
        rights = {
            None: "rw",
            "agent:a": "rw",
            "scribe:b": "w",
            "reader:c": "r",
            "dpo:d": "r",
            "auditor:e": "",
            "nobody": "",
        }
        for actor, has in rights.items():
            chat = memory.session("s", user_id="alice", actor=actor)
            calls = {
                "r": (chat.history, chat.context, lambda chat=chat: chat.context(view="pseudonymised")),
                "w": (lambda chat=chat: add(chat, "more"),),
            }
            for right, each in calls.items():
                for call in each:
                    if right in has:
                        await call()
                        continue
                    with pytest.raises(AccessDeniedError):
                        await call()
            if has != "rw":
                with pytest.raises(AccessDeniedError):
                    await chat.fork("branch")
        count = sum("w" in has for has in rights.values())
        assert len(await memory.session("s", user_id="alice").history()) == 1 + count


async def test_who_may_not_hold_places_none(file_url: str, clock: FakeClock) -> None:
    """The right `hold` is asked of an actor that is named."""
    async with opened(file_url, clock, policy(ROLES)) as memory:
        await add(memory.session("s", user_id="alice"), "x")
        with pytest.raises(AccessDeniedError):
            await memory.holds.place("alice", reason_code="C", actor="agent:a")
        hold = await memory.holds.place("alice", reason_code="C", actor="dpo:d")
        with pytest.raises(AccessDeniedError):
            await memory.holds.release(hold.id, actor="agent:a")
        await memory.holds.release(hold.id, actor="dpo:d")
