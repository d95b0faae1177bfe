"""Reading never waits for a worker: what is past its time by the policy is given by no read, though it lies there."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from securemem import ExpiredError, InvalidInputError, SecureMemory, Session

from .store import DAY, EMAIL, HOUR, LASTING, SCRATCH, TAGGED, add, infos, on_hour, opened, policy, rows, texts

if TYPE_CHECKING:
    from tests.conftest import FakeClock

MILLISECOND = 0.001
MAIL = "pii: {engine: patterns, entities: {EMAIL_ADDRESS: keep}}\n"
PSEUDONYMS = "pii: {engine: patterns, entities: {EMAIL_ADDRESS: pseudonymise}}\n"


class Case(NamedTuple):
    """What ends a life: the policy, the session and the message that it is for, and how long it is."""

    more: str
    rules: str
    life: float
    session: dict[str, Any] = {}  # noqa: RUF012  (nobody changes it)
    tags: tuple[str, ...] = ()
    content: str = "hello"


CASES = {
    "tag": Case("", SCRATCH, DAY, tags=("scratch",)),
    "session_tag": Case("", "  - {id: s, match: {session_tag: s}, ttl: 2h}\n", 2 * HOUR, {"tags": ("s",)}),
    "tag of a session": Case("", SCRATCH, DAY, {"tags": ("scratch",)}),
    "purpose": Case(
        "", "  - {id: care, match: {purpose: care}, ttl: 3d}\n", 3 * DAY, {"purpose": "care", "actor": "agent:a"}
    ),
    "entity": Case(MAIL, "  - {id: e, match: {entity: EMAIL_ADDRESS}, ttl: 1w}\n", 7 * DAY, content=f"ask {EMAIL}"),
    "defaults": Case("defaults: {ttl: 90d}\n", "", 90 * DAY),
    "max_ttl": Case("bounds: {max_ttl: 12h}\n", SCRATCH, 12 * HOUR, tags=("scratch",)),
    "max_ttl alone": Case("bounds: {max_ttl: 12h}\n", "", 12 * HOUR),
    "min_ttl": Case("bounds: {min_ttl: 2d}\n", SCRATCH, 2 * DAY, tags=("scratch",)),
    "the shortest": Case(
        "defaults: {ttl: 1h}\n",
        f"{SCRATCH}  - {{id: b, match: {{tag: b}}, ttl: 2h}}\n",
        2 * HOUR,
        tags=("scratch", "b"),
    ),
}


async def _readers(memory: SecureMemory, chat: Session) -> list[Session]:
    """Give a handle that was open already and has all in memory, and one that is new."""
    await chat.history()
    return [chat, memory.session(chat.session_id, user_id=chat.user_id)]


EVERYWHERE = ("tag", "entity", "defaults")
PLACES = {
    f"{url}-{name}": (url, case)
    for url in ("memory", "sqlite", "postgresql", "redis")
    for name, case in CASES.items()
    if url == "sqlite" or name in EVERYWHERE
}


@pytest.mark.parametrize(("url", "case"), PLACES.values(), ids=PLACES, indirect=["url"])
async def test_no_read_gives_what_is_over(url: str, clock: FakeClock, case: Case) -> None:
    """Up to the last millisecond every read has it; from then on none, and it lies there all the same."""
    clock.advance(34 * 60 + 56.789)
    end = on_hour(clock.now) + timedelta(seconds=case.life)
    async with opened(url, clock, policy(case.more, case.rules)) as memory:
        chat = memory.session("s", user_id="alice", **case.session)
        marks: dict[str, Any] = {"tags": list(case.tags)}
        [said] = await add(chat, case.content, metadata=marks)
        await chat.add("system", case.content, metadata=marks | {"pinned": True})
        assert said.expires_at == end
        readers = await _readers(memory, chat)
        clock.now = end - timedelta(milliseconds=1)
        for each in readers:
            assert await texts(each) == [case.content] * 2
            assert [message.expires_at for message in await each.history()] == [end, end]
            assert [message.role for message in await each.context(max_messages=2)] == ["system", "user"]
        assert await texts(await chat.fork("branch")) == [case.content] * 2
        assert await infos(memory) == {"s": 2, "branch": 2}
        clock.now = end
        for each in [*readers, memory.session("branch", user_id="alice")]:
            assert await each.history() == await each.history(1, before=2) == []
            assert await each.context() == await each.context(max_messages=1, view="pseudonymised") == []
            with pytest.raises(InvalidInputError, match="nothing to fork"):
                await each.fork("late")
            with pytest.raises(ExpiredError):
                await each.fork("late", at=2)
        assert await infos(memory) == {"s": 0, "branch": 0}
        assert [info.last_at async for info in memory.sessions()] == [None, None]
        assert await rows(memory, chat) == 2


async def test_what_is_pinned_ends_too(url: str, clock: FakeClock) -> None:
    """A pinned message that its rule ends is in no window, though it lies far behind what is read."""
    async with opened(url, clock, policy(rules=SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("system", "rules", metadata={"pinned": True, "tags": ["scratch"]})
        await add(chat, *"abc")
        fresh = memory.session("s", user_id="alice")
        for moment, expected in ((DAY - HOUR, ["rules", "c"]), (HOUR, ["b", "c"])):
            clock.advance(moment)
            for each in (chat, fresh):
                assert [message.content for message in await each.context(max_messages=2)] == expected


async def test_only_what_is_over_is_left_out(file_url: str, clock: FakeClock) -> None:
    """Between messages that live, pages are filled past those that do not, and a fork takes the living along."""
    async with opened(file_url, clock, policy(rules=SCRATCH)) as memory:
        chat = memory.session("s", user_id="alice")
        for number in range(1, 31):
            await add(chat, str(number), **({} if number % 3 == 0 else TAGGED))
        clock.advance(DAY)
        fresh = memory.session("s", user_id="alice")
        for each in (chat, fresh):
            assert await texts(each, limit=3) == ["24", "27", "30"]
            assert await texts(each, limit=2, before=27) == ["21", "24"]
        assert await texts(await chat.fork("branch")) == [str(number) for number in range(3, 31, 3)]


async def test_no_pseudonym_of_what_is_over_is_revealed(url: str, clock: FakeClock) -> None:
    """A value whose last message ended by a rule stands for nothing; up to then it does."""
    rules = "  - {id: e, match: {entity: EMAIL_ADDRESS}, ttl: 1d}\n"
    async with opened(url, clock, policy(PSEUDONYMS, rules)) as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, f"ask {EMAIL}")
        fresh = memory.session("s", user_id="alice")
        clock.advance(DAY - MILLISECOND)
        for each in (chat, fresh):
            assert await each.reveal("[EMAIL_ADDRESS_1]") == EMAIL
        clock.advance(MILLISECOND)
        for each in (chat, fresh):
            assert await each.reveal("[EMAIL_ADDRESS_1]") == "[EMAIL_ADDRESS_1]"
            assert "".join([piece async for piece in each.reveal_stream(["[EMAIL_ADDRESS_1]"])]) == "[EMAIL_ADDRESS_1]"


@pytest.mark.parametrize(("rule", "call", "life"), [("1d", 60.0, 60.0), ("1d", 3 * DAY, DAY), ("2d", None, 2 * DAY)])
async def test_the_shorter_of_call_and_policy_holds(
    url: str, clock: FakeClock, rule: str, call: float | None, life: float
) -> None:
    """A caller may ask for less, and less than `min_ttl`, never for more; readers are told the end that counts."""
    bounds = "bounds: {min_ttl: 1h, max_ttl: 30d}\n"
    async with opened(url, clock, policy(bounds, SCRATCH.replace("1d", rule))) as memory:
        chat = memory.session("s", user_id="alice")
        [said] = await add(chat, "hello", ttl=call, **TAGGED)
        assert said.expires_at == clock.now + timedelta(seconds=life)
        assert await memory.session("s", user_id="alice").history() == [said]
        clock.advance(life - MILLISECOND)
        assert await texts(chat) == ["hello"]
        clock.advance(MILLISECOND)
        assert await chat.history() == []


@LASTING
async def test_a_changed_policy_holds_for_what_is_stored(url: str, clock: FakeClock) -> None:
    """Under another file the same message lives shorter or longer, at once, and readers are told so."""
    async with opened(url, clock, policy(rules=SCRATCH)) as memory:
        await add(memory.session("s", user_id="alice"), "hello", **TAGGED)
    begun, ends = clock.now, []
    for ttl, life in (("1d", DAY), ("1h", HOUR), ("7d", 7 * DAY), ("1d", DAY)):
        clock.now = begun
        async with opened(url, clock, policy(rules=SCRATCH.replace("1d", ttl))) as memory:
            chat = memory.session("s", user_id="alice")
            ends += [message.expires_at for message in await chat.history()]
            clock.now = begun + timedelta(seconds=life - MILLISECOND)
            assert await texts(chat) == ["hello"]
            clock.now = begun + timedelta(seconds=life)
            assert await texts(chat) == []
    assert ends == [begun + timedelta(seconds=life) for life in (DAY, HOUR, 7 * DAY, DAY)]


@LASTING
async def test_a_policy_is_for_what_was_stored_under_none(url: str, clock: FakeClock) -> None:
    """Tags were noted when no rule asked for them: a rule that comes later finds them, the control goes on."""
    async with opened(url, clock, "default") as memory:
        chat = memory.session("s", user_id="alice")
        await add(chat, "tagged", **TAGGED)
        await add(chat, "plain")
    clock.advance(DAY)
    async with opened(url, clock, policy(rules=SCRATCH)) as memory:
        assert await texts(memory.session("s", user_id="alice")) == ["plain"]
    async with opened(url, clock, "default") as memory:
        assert await texts(memory.session("s", user_id="alice")) == ["tagged", "plain"]


async def test_an_hour_may_be_short_and_never_long(file_url: str, clock: FakeClock) -> None:
    """Whatever the minute in which a message came, its life is counted from the beginning of the hour."""
    async with opened(file_url, clock, policy("defaults: {ttl: 1h}\n")) as memory:
        chat = memory.session("s", user_id="alice")
        for minute in (0, 59):
            clock.now = on_hour(clock.now).replace(minute=minute)
            [said] = await add(chat, str(minute))
            assert said.expires_at == on_hour(clock.now) + timedelta(hours=1)
        clock.advance(59.999)
        assert await texts(chat) == ["0", "59"]
        clock.advance(MILLISECOND)
        assert await texts(chat) == []
