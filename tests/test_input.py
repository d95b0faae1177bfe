"""Bad input: a clear error that says what is wrong, without the content in it; nothing written, nothing lost."""

from __future__ import annotations

import enum
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

from securemem import InvalidInputError, Message, SecureMemory, Session
from tests.noting import noting

if TYPE_CHECKING:
    from tests.conftest import Stored

MEGABYTE = 1024 * 1024
MARK = "canary-7f3a"


class _NoOffset(tzinfo):
    def utcoffset(self, _: datetime | None) -> None:
        return None

    def dst(self, _: datetime | None) -> None:
        return None

    def tzname(self, _: datetime | None) -> None:
        return None


def _nested(depth: int) -> list[Any]:
    value: list[Any] = [MARK]
    for _ in range(depth):
        value = [value]
    return value


def _circle() -> list[Any]:
    value: list[Any] = [MARK]
    value.append(value)
    return value


NOT_JSON: dict[str, Any] = {
    "datetime": datetime(2026, 1, 1, tzinfo=UTC),
    "bytes": MARK.encode(),
    "bytearray": bytearray(8),
    "set": {MARK},
    "object": object(),
    "complex": 1j,
    "nan": float("nan"),
    "infinity": float("-inf"),
    "key that is no text": {1: MARK},
    "key that is bytes": {b"k": MARK},
    "too large an integer": 2**64,
    "too small an integer": -(2**63) - 1,
    "deep": _nested(120),
    "very deep": _nested(50_000),
    "circular": _circle(),
    "surrogate": f"{MARK}\ud800",
    "surrogate as a key": {f"{MARK}\udfff": 1},
    "deep inside": {"a": [{"b": [MARK, {"c": b"x"}]}]},
    "generator": (each for each in MARK),
    "function": len,
}
BAD: dict[str, dict[str, Any]] = {
    "no role": {"role": ""},
    "role of 10 MB": {"role": "x" * 10 * MEGABYTE},
    "role that is no text": {"role": None},
    "role with a surrogate": {"role": f"{MARK}\ud800"},
    "content of 17 MB": {"content": MARK + "x" * 17 * MEGABYTE},
    "metadata of 17 MB": {"metadata": {"text": "x" * 17 * MEGABYTE}},
    "metadata that is a list": {"metadata": [MARK]},
    "metadata that is text": {"metadata": MARK},
    "naive timestamp": {"timestamp": datetime(2026, 1, 1)},  # noqa: DTZ001
    "timestamp without an offset": {"timestamp": datetime(2026, 1, 1, tzinfo=_NoOffset())},
    "timestamp that is a number": {"timestamp": 1_700_000_000},
    "timestamp beyond the calendar": {"timestamp": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
    "timestamp before the calendar": {"timestamp": datetime.min.replace(tzinfo=timezone(timedelta(hours=5)))},
    "naive end": {"expires_at": datetime(2036, 1, 1)},  # noqa: DTZ001
    "end that is text": {"expires_at": "tomorrow"},
    "end beyond the calendar": {"expires_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))},
    "empty guest": {"user_id": ""},
    "guest of 10 MB": {"user_id": MARK + "x" * 10 * MEGABYTE},
    "guest with a surrogate": {"user_id": f"{MARK}\ud800"},
    "guest that is no text": {"user_id": 7},
    "ttl of 0": {"ttl": 0},
    "negative ttl": {"ttl": -1},
    "ttl of NaN": {"ttl": float("nan")},
    "endless ttl": {"ttl": float("inf")},
    "ttl beyond the calendar": {"ttl": 1e12},
    "ttl that is text": {"ttl": "60"},
    "ttl that is a flag": {"ttl": True},
}
for _what, _value in NOT_JSON.items():
    BAD[f"content: {_what}"] = {"content": _value}
    BAD[f"metadata: {_what}"] = {"metadata": {"k": _value}}


@pytest.fixture
async def chat(memory: SecureMemory) -> AsyncIterator[Session]:
    """Give a session that has something in it, and see that it stays readable and writable."""
    chat = memory.session("s", user_id="alice")
    before = await chat.add("user", "before")
    yield chat
    after = await chat.add("user", "after")
    assert await chat.history() == [before, after]


async def test_a_message_that_cannot_be_stored(memory: SecureMemory, chat: Session, stored: Stored) -> None:
    """It is refused with an InvalidInputError in which nothing of it is said, and not a byte changes."""
    before = await stored(memory)
    for what, bad in BAD.items():
        with noting(what):
            with pytest.raises(InvalidInputError) as caught:
                await chat.add(**({"role": "user", "content": MARK} | bad))
            text = str(caught.value)
            assert len(text) > 10
            assert not any(word in text for word in (MARK, "alice"))
            assert caught.value.__cause__ is None
            assert await stored(memory) == before


@pytest.mark.parametrize("what", [b"bytes", None, 7, ["message"], "messages"], ids=repr)
async def test_a_batch_of_something_else(chat: Session, what: Any) -> None:
    """`add_many` takes messages and nothing else."""
    with pytest.raises(InvalidInputError):
        await chat.add_many(what)


COUNTS: dict[str, Callable[[Session, Any], Awaitable[object]]] = {
    "limit": lambda chat, number: chat.history(limit=number),
    "before": lambda chat, number: chat.history(before=number),
    "max_messages": lambda chat, number: chat.context(max_messages=number),
    "max_tokens": lambda chat, number: chat.context(max_tokens=number),
    "at": lambda chat, number: chat.fork("branch", at=number),
}


async def test_a_number_that_is_none(memory: SecureMemory, chat: Session, stored: Stored) -> None:
    """A negative limit, a fraction or no number at all is refused, and nothing is written."""
    before = await stored(memory)
    for call, number in itertools.product(COUNTS, (-1, -(10**30), 2.5, "10", True)):
        with noting((call, number)):
            with pytest.raises(InvalidInputError):
                await COUNTS[call](chat, number)
            assert await stored(memory) == before


BAD_IDS: dict[str, Any] = {
    "empty": "",
    "over 1024": "x" * 1025,
    "over 1024 in UTF-8": "ä" * 513,
    "10 MB": MARK * MEGABYTE,
    "surrogate": f"{MARK}\ud800",
    "bytes": MARK.encode(),
    "number": 7,
}


@pytest.mark.parametrize("what", BAD_IDS)
async def test_an_id_that_cannot_be_one(memory: SecureMemory, chat: Session, stored: Stored, what: str) -> None:
    """Every call that takes an id refuses it, without naming it, and nothing is written."""
    before = await stored(memory)
    bad = BAD_IDS[what]

    async def listed() -> None:
        assert [info async for info in memory.sessions(user_id=bad)] == []

    async def handle(**ids: Any) -> None:
        memory.session(**ids)

    for call in (
        lambda: handle(session_id=bad),
        lambda: handle(session_id="s", user_id=bad),
        lambda: handle(session_id="s", tags=[bad]),
        lambda: chat.fork(bad),
        lambda: memory.erase_user(bad),
        listed,
    ):
        with pytest.raises(InvalidInputError) as caught:
            await call()
        assert MARK not in str(caught.value)
    assert await stored(memory) == before


@pytest.mark.parametrize(
    "name",
    ["x" * 1024, "ä" * 512, "nul\0inside", " ", "\n", "../../etc/passwd", "'; DROP TABLE x; --", "🦊", "\u202e", "%s"],
)
async def test_an_unusual_id_is_taken_as_it_is(memory: SecureMemory, name: str) -> None:
    """Any other text of up to 1,024 bytes names a user, a session, a guest and a tag."""
    chat = memory.session(name, user_id=name, tags=[name])
    await chat.add("user", "x", user_id="other" + name[:500])
    await memory.session("s", user_id="owner").add("user", "y", user_id=name)
    assert [(info.session_id, info.user_id, info.tags) async for info in memory.sessions(user_id=name)] == [
        (name, name, (name,))
    ]
    await memory.erase_user(name)
    assert await memory.session("s", user_id="owner").history() == []


async def test_ids_are_not_made_alike(memory: SecureMemory) -> None:
    """Ids that look or fold the same, or join to the same text, are different ids."""
    pairs = [("é", "s"), ("e\u0301", "s"), ("A", "s"), ("a", "s"), ("a ", "s"), ("ab", "c"), ("a", "bc"), ("a\0", "s")]
    for number, (user, session) in enumerate(pairs):
        await memory.session(session, user_id=user).add("user", number)
    for number, (user, session) in enumerate(pairs):
        assert [message.content for message in await memory.session(session, user_id=user).history()] == [number]


@pytest.mark.parametrize("role", ["function", "critic", "agent:planner", "model", "人", "x" * 1024, "nul\0"])
async def test_an_unknown_role_is_accepted(memory: SecureMemory, role: str) -> None:
    """Frameworks send roles of their own, and they come back as they are."""
    chat = memory.session("s")
    stored = await chat.add(role, "x")
    assert (await chat.history(), stored.role) == ([stored], role)


async def test_large_content_is_stored(memory: SecureMemory) -> None:
    """10 MB of text come back whole, among others."""
    chat = memory.session("s")
    given = ["before", "x" * 10 * MEGABYTE, "after"]
    await chat.add_many([Message("user", text) for text in given])
    assert [message.content for message in await chat.history()] == given


class _Colour(enum.StrEnum):
    RED = "red"


class _Size(enum.IntEnum):
    MEDIUM = 2


class _Text(str):
    __slots__ = ()


class _Number(float):
    __slots__ = ()


@pytest.mark.parametrize(
    "value",
    [_Colour.RED, _Text("red"), _Number(1.5), _Size.MEDIUM, [_Text("a")], {_Text("k"): _Colour.RED}],
    ids=repr,
)
async def test_subclasses_of_json_types(memory: SecureMemory, value: Any) -> None:
    """A subclass of text or number, as enums and numpy have them, is stored as what it is equal to, or refused."""
    chat = memory.session("s")
    try:
        await chat.add("user", value, metadata={"value": value})
    except InvalidInputError:
        assert await chat.history() == []
        return
    [message] = await chat.history()
    assert message.content == value
    assert message.metadata == {"value": value}


async def test_a_role_that_is_an_enum(memory: SecureMemory) -> None:
    """A `StrEnum` member is the text that it is."""
    chat = memory.session("s")
    await chat.add(_Colour.RED, "x")
    assert [message.role for message in await chat.history()] == ["red"]


async def test_a_tuple_comes_back_as_it_was_returned(memory: SecureMemory) -> None:
    """JSON has no tuples: what `add` returns has lists in their place, as what is read later."""
    chat = memory.session("s")
    stored = await chat.add("user", ("a", ["b", ("c",)]), metadata={"k": (1, 2)})
    assert await chat.history() == [stored]


async def test_the_last_moment_of_the_calendar(memory: SecureMemory) -> None:
    """`expires_at` may be as late as a datetime can be."""
    chat = memory.session("s")
    stored = await chat.add("user", "x", expires_at=datetime.max.replace(tzinfo=UTC))
    assert await chat.history() == [stored]
    assert stored.expires_at is not None
    assert stored.expires_at.year == 9999


async def test_what_is_returned_is_not_the_callers(memory: SecureMemory) -> None:
    """Changing what was given, or what was read, changes nothing that is stored."""
    chat = memory.session("s")
    content = {"list": [1]}
    await chat.add("user", content)
    content["list"].append(2)
    (await chat.history())[0].content["list"].append(3)
    assert [message.content for message in await chat.history()] == [{"list": [1]}]


async def test_a_view_that_is_not_there(chat: Session) -> None:
    """Only the views of the policy in force can be asked for."""
    with pytest.raises(Exception, match="view"):
        await chat.context(view="nonsense")


class _Moment(datetime):
    """A datetime of a library's own, as pandas has one: what is reckoned from it is of its kind too."""

    def astimezone(self, tz: tzinfo | None = None) -> _Moment:
        there = super().astimezone(tz)
        return _Moment(*there.timetuple()[:6], there.microsecond, tzinfo=there.tzinfo)


async def test_a_datetime_of_another_kind(memory: SecureMemory) -> None:
    """A subclass of datetime is stored as the moment that it is."""
    moment = _Moment(2026, 3, 2, 13, 0, 0, 5, tzinfo=timezone(timedelta(hours=1)))
    chat = memory.session("s", user_id="alice")
    await chat.add("user", "hello", timestamp=moment, expires_at=moment + timedelta(days=999))
    [message] = await chat.history()
    assert type(message.timestamp) is datetime
    assert message.timestamp == moment


@pytest.mark.parametrize("tags", ["scratch", 5, [5]])
async def test_tags_that_no_rule_could_match(memory: SecureMemory, tags: Any) -> None:
    """For a session a text in place of a list of them is refused: it would match nothing."""
    with pytest.raises(InvalidInputError):
        memory.session("s", user_id="alice", tags=tags)
    assert [info async for info in memory.sessions()] == []


async def test_what_is_no_path_and_no_text_is_said(memory: SecureMemory) -> None:
    """A backup is named by a path, and what is revealed is a text: all else is an `InvalidInputError`."""
    nothing: Any
    for nothing in (None, 5, b""):
        with pytest.raises(InvalidInputError):
            await memory.backup(nothing)
        for paths in (nothing, [nothing]):
            with pytest.raises(InvalidInputError):
                await SecureMemory.restore(paths, "sqlite:///new.db")
        with pytest.raises(InvalidInputError):
            await memory.session("s").reveal(nothing)
        with pytest.raises(InvalidInputError):
            [piece async for piece in memory.session("s").reveal_stream([nothing])]
