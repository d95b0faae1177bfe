"""One selector: access, export, restriction and erasure see the same sessions, guest records and pseudonyms."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from securemem import ConflictError, InvalidInputError, SecureMemory
from securemem.crypto.envelope import Sealed, parse
from securemem.crypto.head import is_stub
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.policy import Pii, Policy

POLICY = Policy("pseudonyms", "", Pii(entities={"EMAIL_ADDRESS": "pseudonymise"}))
PEOPLE = ("ann", "ben", "cy")
WHO = st.sampled_from(PEOPLE)
WHERE = st.sampled_from(["x", "y", ""])
ADD = st.tuples(st.just("add"), WHO, WHERE, st.none() | WHO, st.booleans())
STEPS = st.lists(
    st.one_of(
        ADD,
        ADD,
        st.tuples(st.just("fork"), WHO, WHERE),
        st.tuples(st.just("clear"), WHO, WHERE),
        st.tuples(st.just("rectify"), WHO, WHERE),
        st.tuples(st.just("erase"), WHO),
        st.tuples(st.just("sweep")),
    ),
    min_size=3,
    max_size=14,
)


class Seen(NamedTuple):
    """What one of the four sees of a person; None of what it says nothing of.

    Attributes:
        sessions: how many records each of their own sessions has, by its id.
        elsewhere: how many of their records lie in other people's sessions.
        pseudonyms: whether there are pseudonyms of theirs.
    """

    sessions: dict[str, int] | None
    elsewhere: int | None
    pseudonyms: bool | None


async def _live(memory: SecureMemory, steps: list[tuple[Any, ...]]) -> None:
    """Let things happen."""
    for number, (what, *arguments) in enumerate(steps):
        if what == "sweep":
            await memory.sweep()
        elif what == "erase":
            await memory.erase_user(arguments[0])
        else:
            chat = memory.session(f"session {arguments[1]}", user_id=arguments[0])
            try:
                if what == "add":
                    mail = f", write to me@example{number}.com" if arguments[3] else ""
                    await chat.add("user", f"text {number}{mail}", user_id=arguments[2])
                elif what == "fork":
                    await chat.fork(f"fork {number}")
                elif what == "clear":
                    await chat.clear()
                else:
                    await chat.rectify(1, f"text {number}")
            except (InvalidInputError, ConflictError):
                continue  # nothing there to fork or to rectify


async def _access(memory: SecureMemory, person: str) -> Seen:
    held = await memory.show_user(person)
    sessions = {str(each.session_id): each.messages for each in held.sessions}
    return Seen(sessions, held.visits, held.pseudonyms)


async def _export(memory: SecureMemory, person: str) -> Seen:
    items = [item async for item in memory.export_user(person)]
    counts = Counter(item["session_id"] for item in items if item["kind"] == "message")
    elsewhere = counts.pop(None, 0)
    sessions = {item["session_id"]: item["messages"] for item in items if item["kind"] == "session"}
    assert {name: count for name, count in sessions.items() if count} == dict(counts)
    return Seen(sessions, elsewhere, any(item["kind"] == "pseudonym" for item in items))


async def _records(memory: SecureMemory) -> dict[bytes, list[Sealed]]:
    """Give all records in the data store, by session, as they lie there."""
    sessions: dict[bytes, Any] = (await memory.host.ready()).backend._sessions  # type: ignore[attr-defined]
    return {
        session: [parse(raw, session=session, seq=seq) for seq, raw in found.rows.items() if not is_stub(raw)]
        for session, found in sessions.items()
    }


async def _names(memory: SecureMemory, person: str) -> dict[bytes, str]:
    """Give the ids of a person's sessions by their handles, that of their pseudonyms too."""
    keyring = (await memory.host.ready()).keyring
    return {keys.handle: keys.title.session_id async for keys in keyring.sessions(person)}


async def _restriction(memory: SecureMemory, person: str) -> Seen:
    """Restrict the person, see which sessions are, and lift it."""
    names, records = await _names(memory, person), await _records(memory)
    deployment = await memory.host.ready()
    if await deployment.keyring.find_user(person) is None:
        return Seen({}, None, None)
    await memory.restrict_user(person)
    marked = set()
    for session in records:
        raw, _ = await deployment.backend.tail(session, 0)
        if raw and deployment.keyring.head_seal(session).decode(raw).restricted:
            marked.add(session)
    await memory.lift_restriction(person)
    assert marked <= set(names), "somebody else's session is restricted"
    own = {names[session]: len(records[session]) for session in marked}
    return Seen({name: count for name, count in own.items() if name}, None, own.get("", 0) > 0)


async def _erasure(memory: SecureMemory, person: str) -> Seen:
    """Erase the person, and see which records are not there any more."""
    names, before = await _names(memory, person), await _records(memory)
    await memory.erase_user(person)
    after = await _records(memory)
    gone = {
        session: len(records) - len(after.get(session, []))
        for session, records in before.items()
        if len(records) != len(after.get(session, []))
    }
    own = {name: gone.get(session, 0) for session, name in names.items()}
    elsewhere = sum(count for session, count in gone.items() if session not in names)
    assert not await _names(memory, person)
    return Seen({name: count for name, count in own.items() if name}, elsewhere, own.get("", 0) > 0)


LOOKS: list[Callable[[SecureMemory, str], Awaitable[Seen]]] = [_access, _export, _restriction, _erasure]


async def _agree(steps: list[tuple[Any, ...]]) -> None:
    async with SecureMemory.open("memory://", policy=POLICY) as memory:
        await _live(memory, steps)
        for person in PEOPLE:
            seen = [await look(memory, person) for look in LOOKS]
            for each in seen[1:]:
                for one, other in zip(seen[0], each, strict=True):
                    assert other is None or one == other, (person, seen)
            nothing = await _access(memory, person)
            assert nothing == Seen({}, 0, False), "something of who was erased is still seen"


@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
@given(STEPS)
def test_the_four_see_the_same(steps: list[tuple[Any, ...]]) -> None:
    """After any history of additions, guests, pseudonyms, forks, rectifications, clears and erasures the four agree."""
    asyncio.run(_agree(steps))


HISTORY = [("add", "ann", "x", None, True), ("add", "ben", "y", "ann", False), ("add", "ann", "y", None, False)]


def test_the_history_of_the_controls_agrees() -> None:
    """As it is, the four agree about it."""
    asyncio.run(_agree(HISTORY))


@pytest.mark.parametrize("missed", ["visited", "own"])
def test_a_selector_that_misses_something_is_found(monkeypatch: pytest.MonkeyPatch, missed: str) -> None:
    """The control: where what the acts go by leaves a session out, the four do not agree any more."""
    real = handles.of_person

    async def blind(keyring: Keyring, person: bytes) -> tuple[list[bytes], list[bytes]]:
        own, visited = await real(keyring, person)
        return (own[1:], visited) if missed == "own" else (own, [])

    monkeypatch.setattr(handles, "of_person", blind)
    with pytest.raises(AssertionError):
        asyncio.run(_agree(HISTORY))
