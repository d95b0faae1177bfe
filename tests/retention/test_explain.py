"""Explaining: what becomes of one message, by which rule, until when, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from securemem import InvalidInputError

from .store import (
    DAY,
    EMAIL,
    HOUR,
    INVOICE,
    INVOICES,
    LASTING,
    SCRATCH,
    TAGGED,
    add,
    head_of,
    on_hour,
    opened,
    policy,
    run_sql,
)

if TYPE_CHECKING:
    from tests.conftest import FakeClock

RULES = policy(
    "defaults: {ttl: 90d}\nbounds: {max_ttl: 2y}\npii: {engine: patterns, entities: {EMAIL_ADDRESS: keep}}\n",
    SCRATCH + INVOICES + "  - {id: mail, match: {all: [{entity: EMAIL_ADDRESS}, {tag: scratch}]}}\n",
)


async def test_each_action_is_explained(url: str, clock: FakeClock) -> None:
    """Kept, restricted, over, and held: with rule and deadline, as readers and workers have it."""
    clock.advance(1234)
    async with opened(url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        came = on_hour(clock.now)
        await add(chat, "plain")
        await add(chat, f"ask {EMAIL}", **TAGGED)
        await add(chat, "invoice", **INVOICE)
        [said] = await add(chat, "mine", ttl=HOUR)

        async def look(seq: int) -> tuple[str, str, timedelta | None]:
            found = await memory.retention.explain("s", seq, user_id="alice")
            assert found.came == came
            assert found.why
            return found.action, found.rule, found.deadline - came if found.deadline else None

        month, year = timedelta(days=30), timedelta(days=365, hours=1)
        assert [await look(seq) for seq in (1, 2, 3)] == [
            ("keep", "defaults", timedelta(days=90)),
            ("keep", "scratch", timedelta(days=1)),
            ("keep", "invoices", month),
        ]
        assert await look(4) == ("keep", "call", said.expires_at - came)  # type: ignore[operator]
        second = await memory.retention.explain("s", 2, user_id="alice")
        assert (second.entities, second.matching) == (["EMAIL_ADDRESS"], ["mail", "scratch"])
        clock.advance(31 * DAY)
        assert [await look(seq) for seq in (2, 3)] == [
            ("delete", "scratch", timedelta(days=1)),
            ("restrict", "invoices", year),
        ]
        assert (await look(4))[:2] == ("delete", "call")
        hold = await memory.holds.place("alice", reason_code="C")
        assert [await look(seq) for seq in (1, 2, 3, 4)] == [("restrict", "hold", None)] * 4
        await memory.holds.release(hold.id)
        before = await head_of(memory, chat)
        assert (await look(2))[0] == "delete"
        assert await head_of(memory, chat) == before, "nothing is changed by it"


@LASTING
async def test_what_is_not_classified_is_explained(url: str, clock: FakeClock) -> None:
    """It is quarantined, for its class is not known."""
    async with opened(url, clock, RULES) as memory:
        await add(memory.session("s"), "x", **TAGGED)
        await run_sql(memory, "DELETE FROM {classes}")
    async with opened(url, clock, RULES) as memory:
        found = await memory.retention.explain("s", 1)
        assert (found.action, found.rule, found.deadline, found.matching) == ("quarantine", "unclassified", None, [])
        assert "not known" in found.why


async def test_what_a_guest_said_is_explained_as_it_is_judged(file_url: str, clock: FakeClock) -> None:
    """A hold on a guest is on their messages alone."""
    async with opened(file_url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "own")
        await add(chat, "theirs", user_id="bob")
        await memory.holds.place("bob", reason_code="C")
        rules = [(await memory.retention.explain("s", seq, user_id="alice")).rule for seq in (1, 2)]
        assert rules == ["defaults", "hold"]


async def test_what_is_not_there_is_said(file_url: str, clock: FakeClock) -> None:
    """No session, no message, one that is gone, another's: each is an error that names nobody."""
    async with opened(file_url, clock, RULES) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "short", **TAGGED)
        await add(chat, "plain")
        clock.advance(DAY)
        await memory.sweep()
        for session, seq, user in [
            ("t", 1, "alice"),
            ("s", 1, "alice"),
            ("s", 3, "alice"),
            ("s", 2, "bob"),
            ("s", 2, None),
        ]:
            with pytest.raises(InvalidInputError) as caught:
                await memory.retention.explain(session, seq, user_id=user)
            assert "alice" not in str(caught.value)
        assert (await memory.retention.explain("s", 2, user_id="alice")).action == "keep"
