"""What rules do to messages on the way in, and for how long what their pseudonyms stand for is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from securemem import PIIBlockedError, SecureMemory
from securemem.model import VAULT

from .store import DAY, EMAIL, HOUR, INVOICE, INVOICES, LASTING, SCRATCH, TAGGED, add, inside, opened, policy, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

KEEP = "pii: {engine: patterns, entities: {EMAIL_ADDRESS: keep, CREDIT_CARD: redact}}\n"
CARD = "4111 1111 1111 1111"


def on_write(treatment: str, more: str = "") -> str:
    """Give a rule that treats addresses in messages that are tagged."""
    return f"  - {{id: r, match: {{tag: scratch}}, on_write: {{{treatment}: [EMAIL_ADDRESS]}}{more}}}\n"


async def _vault_rows(memory: SecureMemory, user: str) -> int:
    deployment = await inside(memory)
    keys = await deployment.keyring.find(user, VAULT)
    if keys is None:
        return 0
    return deployment.keyring.head_seal(keys.handle).decode((await deployment.backend.tail(keys.handle, 0)).head).live


@pytest.mark.parametrize(
    ("treatment", "expected"),
    [("redact", "ask [EMAIL_ADDRESS]"), ("pseudonymise", "ask [EMAIL_ADDRESS_1]"), ("keep", f"ask {EMAIL}")],
)
async def test_a_rule_treats_what_it_is_for(file_url: str, clock: FakeClock, treatment: str, expected: str) -> None:
    """Tagged messages are stored as the rule says; others, in the same batch and the same session, as `pii` does."""
    async with opened(file_url, clock, policy(KEEP, on_write(treatment))) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, f"ask {EMAIL}", **TAGGED)
        await add(chat, f"ask {EMAIL} {CARD}")
        shown = [message.content for message in await chat.context(view="pseudonymised")]
        assert shown[0] == expected
        if treatment != "pseudonymise":
            assert shown[1] == f"ask {EMAIL} [CREDIT_CARD]"
        assert CARD not in str(await texts(chat))


async def test_a_rule_may_block(file_url: str, clock: FakeClock) -> None:
    """What it is for is refused, and nothing of the batch is stored; the control is."""
    async with opened(file_url, clock, policy(KEEP, on_write("block"))) as memory:
        chat = memory.session("s", user_id="alice")
        with pytest.raises(PIIBlockedError):
            await add(chat, EMAIL, **TAGGED)
        await add(chat, EMAIL)
        assert await texts(chat) == [EMAIL]


@pytest.mark.parametrize(
    ("session", "metadata"), [({"tags": ("a", "b")}, []), ({}, ["a", "b"]), ({"tags": ("b",)}, ["a"])]
)
async def test_the_most_specific_rule_decides(
    file_url: str, clock: FakeClock, session: dict[str, Any], metadata: list[str]
) -> None:
    """Of two rules the one with more conditions treats; wherever the tags stand."""
    rules = (
        "  - {id: one, match: {tag: a}, on_write: {redact: [EMAIL_ADDRESS]}}\n"
        "  - {id: two, match: {all: [{tag: a}, {tag: b}]}, on_write: {keep: [EMAIL_ADDRESS]}}\n"
    )
    async with opened(file_url, clock, policy(KEEP, rules)) as memory:
        chat = memory.session("s", user_id="alice", **session)
        await add(chat, EMAIL, metadata={"tags": metadata})
        assert await texts(chat) == [EMAIL]
        await add(memory.session("t", user_id="alice"), EMAIL, metadata={"tags": ["a"]})
        assert await texts(memory.session("t", user_id="alice")) == ["[EMAIL_ADDRESS]"]


@LASTING
async def test_a_rule_alone_may_pseudonymise(url: str, clock: FakeClock) -> None:
    """Where only a rule makes pseudonyms, they come back after the store was opened anew."""
    mine = policy(KEEP, on_write("pseudonymise"))
    async with opened(url, clock, mine) as memory:
        await add(memory.session("s", user_id="alice"), EMAIL, **TAGGED)
    async with opened(url, clock, mine) as memory:
        chat = memory.session("s", user_id="alice")
        assert await texts(chat) == [EMAIL]
        assert [message.content for message in await chat.context(view="pseudonymised")] == ["[EMAIL_ADDRESS_1]"]
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == EMAIL


async def test_a_value_ends_with_its_message(url: str, clock: FakeClock) -> None:
    """What a pseudonym stands for lives as long as its message by the policy, and the worker takes it out then."""
    rules = (
        on_write("pseudonymise", ", ttl: 1d")
        + "  - {id: b, match: {tag: b}, ttl: 3d, on_write: {pseudonymise: [EMAIL_ADDRESS]}}\n"
    )
    async with opened(url, clock, policy(KEEP, rules)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, EMAIL, **TAGGED)
        await add(chat, "other@example.com", metadata={"tags": ["b"]})
        await add(chat, EMAIL, ttl=HOUR, metadata={"tags": ["b"]})
        assert await _vault_rows(memory, "alice") >= 2
        clock.advance(DAY)
        assert await chat.reveal("[EMAIL_ADDRESS_1] [EMAIL_ADDRESS_2]") == "[EMAIL_ADDRESS_1] other@example.com"
        await memory.sweep()
        left = await _vault_rows(memory, "alice")
        assert left >= 1
        clock.advance(2 * DAY)
        assert await chat.reveal("[EMAIL_ADDRESS_2]") == "[EMAIL_ADDRESS_2]"
        await memory.sweep()
        assert await _vault_rows(memory, "alice") == 0


async def test_a_longer_life_lengthens_that_of_the_value(file_url: str, clock: FakeClock) -> None:
    """A value that a message with a longer life has too is given back for as long."""
    rules = (
        on_write("pseudonymise", ", ttl: 1d")
        + "  - {id: b, match: {tag: b}, ttl: 3d, on_write: {pseudonymise: [EMAIL_ADDRESS]}}\n"
    )
    async with opened(file_url, clock, policy(KEEP, rules)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, EMAIL, **TAGGED)
        await add(chat, EMAIL, metadata={"tags": ["b"]})
        clock.advance(2 * DAY)
        assert await texts(chat) == [EMAIL]
        await memory.sweep()
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == EMAIL
        clock.advance(DAY)
        assert await chat.reveal("[EMAIL_ADDRESS_1]") == "[EMAIL_ADDRESS_1]"


async def test_tags_that_are_none_are_no_tags(file_url: str, clock: FakeClock) -> None:
    """Whatever stands under `tags` that is no list of texts matches nothing, and is stored as it came."""
    async with opened(file_url, clock, policy(KEEP, SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        for tags in ("scratch", None, 7, {"scratch": 1}, [None, 7, ["scratch"]], []):
            [said] = await add(chat, "x", metadata={"tags": tags})
            assert said.expires_at is None
        [said] = await add(chat, "x", metadata={"tags": [None, "scratch"]})
        assert said.expires_at is not None


async def test_a_fork_takes_class_and_hour_along(url: str, clock: FakeClock) -> None:
    """A copy is what its message was: it ends when that does, and is kept when that is."""
    async with opened(url, clock, policy(KEEP, SCRATCH + INVOICES)) as memory:
        chat = memory.session("s", user_id="alice", tags=("any",))
        await add(chat, "short", **TAGGED)
        await add(chat, "invoice", **INVOICE)
        clock.advance(DAY / 2)
        branch = await chat.fork("branch")
        assert await branch.history() == await chat.history()
        clock.advance(DAY / 2)
        assert await texts(branch) == ["invoice"]
        await branch.clear()
        assert [info.restricted async for info in memory.sessions()] == [False, True], "what is kept of it"
