"""Any order of calls against a plain model: two store objects on one file, reopened, and a clock that moves."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from securemem import ConflictError, ExpiredError, InvalidInputError, Message, SecureMemory, Session, UserErasedError

MAX_MESSAGES = 6
USERS = st.sampled_from(["ann", "ben", "cy"])
SESSIONS = st.sampled_from(["x", "y"])
STORES = st.sampled_from([0, 1])
TTLS = st.sampled_from([None, None, 10, 30])


@dataclass
class Row:
    """A message that is stored, in time or not."""

    content: str
    guest: str | None
    end: datetime | None


@dataclass
class Told:
    """A session as the model knows it: what is stored, and when the sweep looks at it next."""

    rows: list[Row] = field(default_factory=list)
    due: datetime | None = None

    def append(self, rows: list[Row]) -> None:
        """Add, and trim the oldest."""
        self.rows = (self.rows + rows)[-MAX_MESSAGES:]
        self.due = min([row.end for row in rows if row.end] + [self.due] * bool(self.due), default=None)  # type: ignore[type-var]


NOBODY_WROTE = 1_000_000
"""A seq that no session gets to: at the next one a message may lie that is past its time."""


class Machine(RuleBasedStateMachine):
    """The store, driven by rules."""

    def __init__(self) -> None:
        """Open nothing yet."""
        super().__init__()
        self.now = datetime(2026, 3, 2, 12, tzinfo=UTC)
        self.model: dict[tuple[str, str], Told] = {}
        self.said = 0
        self.erasures = dict.fromkeys(("ann", "ben", "cy"), 0)
        self.handles: list[tuple[Session, int]] = []
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.stores: list[SecureMemory] = []

    @initialize()
    def begin(self) -> None:
        """Open both."""
        self.stores = [self._open(compress=False), self._open(compress=True)]

    def teardown(self) -> None:
        """Close what was opened."""
        for store in self.stores:
            self.runner.run(store.close())
        self.runner.close()
        self.folder.cleanup()

    def _open(self, *, compress: bool) -> SecureMemory:
        url = f"sqlite:///{self.folder.name}/store.db"
        return SecureMemory.open(url, clock=lambda: self.now, max_messages=MAX_MESSAGES, compress=compress)

    def _alive(self, told: Told | None) -> list[Row]:
        return [row for row in told.rows if row.end is None or row.end > self.now] if told else []

    def _check(self, messages: list[Message], rows: list[Row]) -> None:
        found = [Row(message.content, message.user_id, message.expires_at) for message in messages]
        assert found == rows
        seqs = [message.seq or 0 for message in messages]
        assert seqs == sorted(set(seqs))

    @rule(store=STORES, named=st.tuples(USERS, SESSIONS), count=st.integers(1, 3), ttl=TTLS, guest=st.none() | USERS)
    def add(self, store: int, named: tuple[str, str], count: int, ttl: float | None, guest: str | None) -> None:
        """Append one or several; a guest whom the other process erased may be told of once."""
        user, session = named
        end = self.now + timedelta(seconds=ttl) if ttl else None
        owner = None if guest == user else guest
        rows = [Row(f"message {self.said + number} " + "abc " * 50, owner, end) for number in range(count)]
        self.said += count
        chat = self.stores[store].session(session, user_id=user)

        async def append() -> list[Message]:
            messages = [Message("user", row.content, user_id=guest) for row in rows]
            try:
                return await chat.add_many(messages, ttl=ttl)
            except UserErasedError:
                assert owner is not None
                return await chat.add_many(messages, ttl=ttl)

        stored = self.runner.run(append())
        self._check(stored, rows)
        fresh = (user, session) not in self.model
        assert (stored[0].seq == 1) == fresh
        self.model.setdefault((user, session), Told()).append(rows)
        self.handles.append((chat, self.erasures[user]))

    @rule(store=STORES, user=USERS, session=SESSIONS, limit=st.integers(0, 8), before=st.integers(0, 3))
    def read(self, store: int, user: str, session: str, limit: int, before: int) -> None:
        """Read the newest, a page before one of them, and the window."""
        chat = self.stores[store].session(session, user_id=user)
        alive = self._alive(self.model.get((user, session)))
        newest = self.runner.run(chat.history(limit))
        self._check(newest, alive[-limit:] if limit else [])
        assert self.runner.run(chat.context(max_messages=limit)) == newest
        whole = self.runner.run(chat.history())
        if before < len(whole):
            older = self.runner.run(chat.history(limit, before=whole[before].seq))
            assert older == whole[max(0, before - limit) : before]

    @rule(
        store=STORES,
        user=USERS,
        session=SESSIONS,
        to=st.sampled_from(["x", "y", "z"]),
        at=st.none() | st.integers(0, 3),
    )
    def fork(self, store: int, user: str, session: str, to: str, at: int | None) -> None:
        """Copy what lives, up to one of them; an id that is taken is a conflict, and nothing is nothing to fork."""
        chat = self.stores[store].session(session, user_id=user)
        whole = self.runner.run(chat.history())
        alive = self._alive(self.model.get((user, session)))
        seq = None
        if at is not None and at < len(whole):
            seq, alive = whole[at].seq, alive[: at + 1]
        error: type[Exception] | None = None
        if not alive:
            error = InvalidInputError
        elif (user, to) in self.model:
            error = ConflictError
        if error is not None:
            with pytest.raises(error):
                self.runner.run(chat.fork(to, at=seq))
            return
        branch = self.runner.run(chat.fork(to, at=seq))
        self._check(self.runner.run(branch.history()), alive)
        self.model[user, to] = Told()
        self.model[user, to].append([replace(row) for row in alive])

    @rule(store=STORES, user=USERS, session=SESSIONS, place=st.integers(0, 5))
    def rectify(self, store: int, user: str, session: str, place: int) -> None:
        """Put another content in the place of a message that is in time, whichever store wrote it."""
        chat = self.stores[store].session(session, user_id=user)
        whole = self.runner.run(chat.history())
        alive = self._alive(self.model.get((user, session)))
        if place >= len(whole):
            with pytest.raises(InvalidInputError):
                self.runner.run(chat.rectify(NOBODY_WROTE, "x"))
            with pytest.raises((InvalidInputError, ExpiredError)):
                self.runner.run(chat.rectify((whole[-1].seq or 0) + 1 if whole else 1, "x"))
            return
        self.said += 1
        alive[place].content = f"rectified {self.said}"
        stored = self.runner.run(chat.rectify(whole[place].seq or 0, alive[place].content, purge_seconds=0))
        self._check([stored], [alive[place]])

    @rule(store=STORES, user=USERS, session=SESSIONS)
    def clear(self, store: int, user: str, session: str) -> None:
        """End a session."""
        self.runner.run(self.stores[store].session(session, user_id=user).clear())
        self.model.pop((user, session), None)

    @rule(store=STORES, user=USERS)
    def erase(self, store: int, user: str) -> None:
        """Forget a person: their sessions, and what they said in others'."""
        receipt = self.runner.run(self.stores[store].erase_user(user))
        gone = [key for key in self.model if key[0] == user]
        assert receipt.stores["data"]["sessions"] == len(gone)
        for key in gone:
            del self.model[key]
        for told in self.model.values():
            told.rows = [row for row in told.rows if row.guest != user]
        self.erasures[user] += 1

    @rule(store=STORES)
    def sweep(self, store: int) -> None:
        """Take out what is past its time."""
        self.runner.run(self.stores[store].sweep())
        for key, told in list(self.model.items()):
            if told.due is not None and told.due <= self.now:
                told.rows = self._alive(told)
                told.due = min((row.end for row in told.rows if row.end), default=None)
                if not told.rows:
                    del self.model[key]

    @rule(seconds=st.sampled_from([1, 10, 31, 700]))
    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.now += timedelta(seconds=seconds)

    @rule(store=STORES, compress=st.booleans())
    def reopen(self, store: int, compress: bool) -> None:  # noqa: FBT001
        """Close one of the stores and open it again."""
        self.handles = [(chat, count) for chat, count in self.handles if chat._host is not self.stores[store].host]
        self.runner.run(self.stores[store].close())
        self.stores[store] = self._open(compress=compress)

    @rule(data=st.data())
    def use_an_old_handle(self, data: st.DataObject) -> None:
        """A handle from before an erasure raises; any other reads what there is."""
        if not self.handles:
            return
        chat, count = data.draw(st.sampled_from(self.handles))
        if self.erasures[chat.user_id] != count:
            with pytest.raises(UserErasedError):
                self.runner.run(chat.history())
        else:
            self._check(self.runner.run(chat.history()), self._alive(self.model.get((chat.user_id, chat.session_id))))

    @invariant()
    def both_list_the_same(self) -> None:
        """Both stores list exactly the sessions that there are; the counts are exact where something is readable."""

        async def listed(store: SecureMemory) -> dict[tuple[str, str], tuple[int, bool]]:
            infos = [info async for info in store.sessions()]
            return {
                (info.user_id, info.session_id): (info.messages if info.last_at else 0, info.last_at is not None)
                for info in infos
            }

        for store in self.stores:
            alive = {key: bool(self._alive(told)) for key, told in self.model.items()}
            expected = {key: (len(self.model[key].rows) * some, some) for key, some in alive.items()}
            assert self.runner.run(listed(store)) == expected


COMMON: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


def test_any_order_of_calls() -> None:
    """Whatever the order, both stores give what the model says: a seeded share of what the soak does."""
    # What fails is told as it was found: to make it small takes minutes, and is left to the soak.
    share = settings(
        max_examples=40, stateful_step_count=25, derandomize=True, phases=[Phase.explicit, Phase.generate], **COMMON
    )
    run_state_machine_as_test(Machine, settings=share)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_any_order_of_calls_at_length() -> None:
    """The same with longer runs, and other ones each time."""
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=400, stateful_step_count=60, database=None, **COMMON)
    )
