"""Sessions: what is added comes back as it was given, and nobody else's does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from securemem import InvalidInputError, Message, SecureMemory, SessionInfo

if TYPE_CHECKING:
    from tests.conftest import FakeClock, Stored

CONTENTS: list[Any] = [
    "I'm Alice",
    "",
    "nul \0, line\nbreak, 🦊 and \u202e",
    None,
    42,
    [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
    {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"type": "reasoning", "summary": [], "encrypted_content": "x" * 1000},
]


async def _ids(memory: SecureMemory, **of: str) -> list[str]:
    return [info.session_id async for info in memory.sessions(**of)]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
async def test_what_add_gives_is_what_history_gives(memory: SecureMemory, content: object) -> None:
    """The message that `add` returns equals the one that is read later, whatever JSON its content is."""
    chat = memory.session("s", user_id="alice")
    stored = await chat.add("user", content, metadata={"channel": "web", "nested": {"a": [1, 2.5, None, True]}})
    assert (stored.role, stored.content, stored.seq) == ("user", content, 1)
    assert await chat.history() == [stored]


async def test_add_many_gives_seqs_in_order(memory: SecureMemory) -> None:
    """A batch gets the next seqs in its order, and reads back equal to what was returned."""
    chat = memory.session("s")
    first = await chat.add("user", "zero")
    rest = await chat.add_many([Message("user", str(number)) for number in range(5)])
    assert [message.seq for message in (first, *rest)] == [1, 2, 3, 4, 5, 6]
    assert await chat.history() == [first, *rest]


async def test_add_many_is_all_or_nothing(memory: SecureMemory, stored: Stored) -> None:
    """One message that cannot be stored keeps its whole batch out; without it the batch goes in."""
    chat = memory.session("s")
    await chat.add("user", "before")
    batch = [Message("user", "good"), Message("user", float("nan")), Message("user", "good too")]
    before = await stored(memory)
    with pytest.raises(InvalidInputError):
        await chat.add_many(batch)
    assert await stored(memory) == before
    await chat.add_many([batch[0], batch[2]])
    assert [message.content for message in await chat.history()] == ["before", "good", "good too"]


async def test_an_empty_batch_writes_nothing(memory: SecureMemory, stored: Stored) -> None:
    """`add_many([])` gives an empty list and makes no session."""
    before = await stored(memory)
    assert await memory.session("s").add_many([]) == []
    assert await stored(memory) == before


async def test_history_pages_backwards(memory: SecureMemory) -> None:
    """Pages of seven by `before` put together are the whole history, and each is oldest first."""
    chat = memory.session("s")
    everything = await chat.add_many([Message("user", str(number)) for number in range(25)])
    pages: list[Message] = []
    before = None
    while page := await chat.history(limit=7, before=before):
        pages = page + pages
        before = page[0].seq
    assert pages == everything
    assert await chat.history() == everything


@pytest.mark.parametrize(
    ("limit", "before", "seqs"),
    [
        (0, None, []),
        (3, None, [8, 9, 10]),
        (3, 5, [2, 3, 4]),
        (3, 2, [1]),
        (3, 1, []),
        (3, 0, []),
        (3, 11, [8, 9, 10]),
        (3, 10**30, [8, 9, 10]),
        (10**30, None, [*range(1, 11)]),
        (10**30, 10**30, [*range(1, 11)]),
    ],
)
async def test_history_bounds(memory: SecureMemory, limit: int, before: int | None, seqs: list[int]) -> None:
    """`limit` and `before` cut exactly, however far out they are."""
    chat = memory.session("s")
    await chat.add_many([Message("user", str(number)) for number in range(10)])
    assert [message.seq for message in await chat.history(limit, before)] == seqs


async def test_a_session_is_named_by_user_and_id(memory: SecureMemory) -> None:
    """The same session id under two users is two sessions, and without a user it is a third."""
    handles = [memory.session("s", user_id="alice"), memory.session("s", user_id="bob"), memory.session("s")]
    for number, chat in enumerate(handles):
        await chat.add("user", f"of {number}")
    for number, chat in enumerate(handles):
        assert [message.content for message in await chat.history()] == [f"of {number}"]
    assert [await _ids(memory, user_id=user) for user in ("alice", "bob", "s")] == [["s"]] * 3


async def test_a_session_without_a_user_is_its_own_subject(memory: SecureMemory) -> None:
    """With no `user_id` the session is the one whose user bears its id."""
    await memory.session("s").add("user", "hello")
    assert [message.content for message in await memory.session("s", user_id="s").history()] == ["hello"]


async def test_handles_of_a_session_share_its_state(memory: SecureMemory) -> None:
    """What one handle adds the other reads and goes on from."""
    one, other = memory.session("s"), memory.session("s")
    await one.add("user", "1")
    await other.add("user", "2")
    await one.add("user", "3")
    assert [message.content for message in await other.history()] == ["1", "2", "3"]


async def test_an_unknown_session_reads_empty_and_writes_nothing(memory: SecureMemory, stored: Stored) -> None:
    """Reading and clearing what is not there gives nothing and leaves every store as it was."""
    await memory.session("known", user_id="alice").add("user", "hello")
    before = await stored(memory)
    for chat in (memory.session("unknown", user_id="alice"), memory.session("known", user_id="nobody")):
        assert await chat.history() == []
        assert await chat.history(5, before=3) == []
        assert await chat.context(max_tokens=100) == []
        await chat.clear()
        with pytest.raises(InvalidInputError, match="nothing to fork"):
            await chat.fork("branch")
    assert await _ids(memory, user_id="nobody") == []
    assert await stored(memory) == before
    await memory.session("unknown", user_id="alice").add("user", "hello")
    assert await stored(memory) != before


async def test_the_time_is_the_stores_unless_given(memory: SecureMemory, clock: FakeClock) -> None:
    """A message bears the store's time, or its own, turned to UTC."""
    said = datetime(2020, 1, 1, 3, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    chat = memory.session("s")
    await chat.add("user", "now")
    await chat.add("user", "then", timestamp=said)
    now, then = [message.timestamp for message in await chat.history()]
    assert now == clock.now
    assert then == said
    assert then is not None
    assert then.tzinfo == UTC


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
async def test_any_time_of_the_calendar_can_be_said(memory: SecureMemory, moment: datetime) -> None:
    """A timestamp from either end of the calendar comes back as it is."""
    chat = memory.session("s")
    await chat.add("user", "when", timestamp=moment)
    assert [message.timestamp for message in await chat.history()] == [moment]


async def test_sessions_lists_what_there_is(memory: SecureMemory, clock: FakeClock) -> None:
    """A list entry tells ids, counts, times and tags; other users' sessions are not in it."""
    began = clock.now
    await memory.session("a", user_id="alice", tags=["vip", "eu", "vip"]).add_many([Message("user", "x")] * 3)
    clock.advance(60)
    await memory.session("a", user_id="alice").add("user", "x")
    await memory.session("b", user_id="bob").add("user", "x")
    assert [info async for info in memory.sessions(user_id="alice")] == [
        SessionInfo(
            session_id="a", user_id="alice", messages=4, created_at=began, last_at=clock.now, tags=("eu", "vip")
        )
    ]
    assert await _ids(memory) == ["a", "b"]


async def test_sessions_goes_over_many_pages(memory: SecureMemory) -> None:
    """More sessions than fit in a page of the keystore are all listed, in the order they were made."""
    names = [f"s{number}" for number in range(205)]
    for name in names:
        await memory.session(name, user_id="alice").add("user", "x")
    assert await _ids(memory, user_id="alice") == names


async def test_clear_ends_a_session_and_it_can_begin_anew(memory: SecureMemory) -> None:
    """After `clear` every handle reads nothing, the list is empty, and the first seq is 1 again."""
    chat, other = memory.session("s", user_id="alice"), memory.session("s", user_id="alice")
    await chat.add_many([Message("user", "old")] * 3)
    await other.history()
    await chat.clear()
    assert await chat.history() == await other.history() == await chat.context() == []
    assert await _ids(memory, user_id="alice") == []
    assert (await other.add("user", "new")).seq == 1
    assert [message.content for message in await chat.history()] == ["new"]


async def test_clear_leaves_other_sessions(memory: SecureMemory) -> None:
    """The user's other sessions, and other users', stay whole."""
    others = [memory.session("t", user_id="alice"), memory.session("s", user_id="bob")]
    for chat in others:
        await chat.add("user", "kept")
    await memory.session("s", user_id="alice").add("user", "gone")
    await memory.session("s", user_id="alice").clear()
    assert [[message.content for message in await chat.history()] for chat in others] == [["kept"], ["kept"]]


async def test_clear_destroys_the_sessions_key(memory: SecureMemory) -> None:
    """The keystore holds one session less, and the user still."""
    keystore = (await memory.host.ready()).keyring.keystore
    await memory.session("s", user_id="alice").add("user", "x")
    assert await keystore.counts() == (1, 1)
    await memory.session("s", user_id="alice").clear()
    assert await keystore.counts() == (1, 0)


async def test_reprs_show_no_content_and_no_id(memory: SecureMemory) -> None:
    """Neither a message's text nor a session's ids come out in a repr."""
    chat = memory.session("order-4711", user_id="alice")
    message = await chat.add("user", "the secret", metadata={"why": "the secret"}, user_id="guest-7")
    shown = f"{message!r} {message} {chat!r} {chat} {await chat.history()!r}"
    assert not any(word in shown for word in ("secret", "alice", "4711", "guest-7"))
    assert "user" in shown
