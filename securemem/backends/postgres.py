"""The PostgreSQL data store: one statement an append and one a load, gathered into batches while others are under way.

`postgresql://…` with the driver's own parameters, `table_name` and `schema`. Rows lie under their session's handle and
seq, heads beside them; every change compares the head in the statement that moves it. Two batches take heads in the
same order. A change whose answer was lost is settled by the head that stands.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from securemem import sql
from securemem.backends.settling import RowsAt, settle
from securemem.batch import Batch, Crowd
from securemem.errors import ConfigurationError, InvalidInputError, SecureMemError
from securemem.model import Change, Residue, Stamp, Tail
from securemem.postgres import Connection, PostgresServer
from securemem.postgrespurge import purge
from securemem.postgresschema import Part, look, migrate
from securemem.remote import went_back

DEFAULT_TABLE = "messages"
Answer: TypeAlias = bytes | Exception | None

_STAMP = "securemem_stamp"
_LANES = 3
_MOST_TOGETHER = 16
_FULL = 0xFFFFFFFF
_ALL = 2**62
_ROWS = {"rows": "unnest($6::bigint[], $7::bytea[])", "trim": "seq >= $8 AND seq < $9"}
_TWO_ROWS = {"rows": "(VALUES ($6::bigint, $7::bytea), ($8, $9))", "trim": "seq >= $10 AND seq < $11"}
"""What a statement's number of rows is in it. Two of them, a turn's, go without arrays, which take the driver long."""
_TABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,53}\Z")  # leaves room for the endings, within PostgreSQL's 63
_TAKEN = re.compile(r"^(pg|securemem)_|_(sessions|due)$", re.IGNORECASE)


class _TailRequest(NamedTuple):
    session: bytes
    limit: int
    before: int


class PostgresBackend:
    """Rows and heads in a PostgreSQL database."""

    def __init__(self, url: str, options: Mapping[str, str], *, table_name: str = DEFAULT_TABLE) -> None:
        """Name the database and the table; nothing is opened yet.

        Raises:
            ConfigurationError: a name or an option that cannot be.
        """
        if not _TABLE_NAME.match(table_name) or _TAKEN.search(table_name):
            raise ConfigurationError(
                "table_name has to be letters, digits and underscores, at most 54, and none that PostgreSQL or "
                "SecureMem uses itself (pg_…, securemem_…, …_sessions, …_due)"
            )
        self._server = PostgresServer(url, options)
        self._part = _part(self._server.schema, table_name)
        path = Path(__file__).with_suffix(".sql")
        self._sql = sql.load(path, **self._part.names, **_ROWS)
        self._sql_of_two = sql.load(path, **self._part.names, **_TWO_ROWS)
        self._there = False
        self._stood = 0
        self._met: datetime | None = None
        self.encounters = 0
        lanes, crowd = min(_LANES, self._server.size), Crowd()
        self._tails: Batch[_TailRequest, Tail] = Batch(
            self._tail, self._read_together, lanes=lanes, crowd=crowd, most=_MOST_TOGETHER
        )
        self._swaps: Batch[Change, bytes | None] = Batch(
            self._swap,
            self._swap_together,
            lanes=lanes,
            crowd=crowd,
            most=_MOST_TOGETHER,
            key=lambda change: change.session,
        )

    async def open(self) -> Stamp | None:
        """As `ports.Backend`."""
        self._server.reopen()
        self._server.greet = None
        try:
            await self._server.check()
            return await self._server.call(self._begin)
        except BaseException:
            await self._server.aclose()
            raise

    def bind(self, tenant: bytes) -> None:
        """As `ports.TenantBound`."""
        self._server.bind(tenant)

    def hold_against(self, least: Callable[[], Awaitable[int]]) -> None:
        """As `ports.Reconnecting`; behind a pooler connections of ours say nothing of the server's."""

        async def greet(con: Connection) -> None:
            met = await con.fetchval(self._sql["begun"])
            if met != self._met:
                self._met, self.encounters = met, self.encounters + 1
            if self._there:
                wanted = max(self._stood, await least())
                stamp = await con.fetchrow(self._sql["stamp"])
                if stamp is None or stamp["counter"] < wanted:
                    raise went_back(self._server.name)

        self._server.greet = greet

    async def persist(self, seconds: float) -> None:
        """As `ports.Reconnecting`: every commit has waited for the disk, and for the standbys that are to have it."""

    async def stamp(self, stamp: Stamp) -> None:
        """As `ports.Backend`."""
        await self._ensure()
        await self._server.call(lambda con, _: con.execute(self._sql["set_stamp"], *stamp))
        self._stood = max(self._stood, stamp.counter)

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `ports.Backend`."""
        return await self._tails.call(_TailRequest(session, limit, _ALL if before is None else before))

    async def swap(self, change: Change) -> bytes | None:
        """As `ports.Backend`."""
        if change.rows and change.rows[-1][0] >= _FULL:
            raise InvalidInputError("this session is full: 4,294,967,294 messages; fork it")
        if not self._there:
            await self._ensure()
        return await self._swaps.call(change)

    async def delete(self, sessions: Sequence[bytes], *, heads: bool) -> int:
        """As `ports.Backend`."""
        if not sessions or not await self._exists():
            return 0
        wanted, counted = sorted(sessions), list[int]()

        async def work(con: Connection, again: bool) -> int:  # noqa: FBT001  (as `postgres.Work` has it)
            if not counted:
                counted.append(await con.fetchval(self._sql["count_rows"], wanted))
            gone: int = await con.fetchval(self._sql["delete_rows"], wanted)
            return max(gone, *counted) if again else gone  # those of a try whose answer was lost are gone already

        deleted = await self._server.call(work)
        if heads:
            await self._server.call(lambda con, _: con.execute(self._sql["delete_heads"], wanted))
        return deleted

    async def due(self, now: int, limit: int) -> list[bytes]:
        """As `ports.Backend`."""
        if not await self._exists():
            return []
        rows = await self._server.call(lambda con, _: con.fetch(self._sql["due"], now, limit))
        return [row[0] for row in rows]

    async def census(self, sessions: Sequence[bytes] | None) -> dict[bytes, int]:
        """As `ports.Countable`."""
        if not await self._exists():
            return {}
        if sessions is None:
            return _counts(await self._server.call(lambda con, _: con.fetch(self._sql["census"])))
        wanted = list(sessions)
        return _counts(await self._server.call(lambda con, _: con.fetch(self._sql["census_of"], wanted)))

    async def purge(self, seconds: float) -> list[Residue]:
        """Remove what deletions left in the tables' files and the server's log, as `postgrespurge.purge` does."""
        if not await self._exists():
            return []
        return await purge(self._server, self._part.tables, store="data", seconds=seconds)

    async def aclose(self) -> None:
        """As `ports.Backend`."""
        await self._tails.aclose()
        await self._swaps.aclose()
        await self._server.aclose()

    async def _begin(self, con: Connection, _: bool) -> Stamp | None:  # noqa: FBT001  (as `postgres.Work` has it)
        """Find out what lies there, and bring it up to date; what is not there is not made."""
        version = await look(con, self._part, self._server.name)
        if 0 < version < len(self._part.steps):
            await migrate(con, self._part, self._server.name)
        self._there, self._stood = False, 0
        self._met = await con.fetchval(self._sql["begun"])
        if version > 0:
            await self._take_in(con)
        elif not await con.fetchval(self._sql["has_stamp"]):
            return None
        row = await con.fetchrow(self._sql["stamp"])
        if row is None:
            return None
        self._stood = row["counter"]
        return Stamp(*row)

    async def _ensure(self) -> None:
        """Make the tables where they are not there yet."""
        if not self._there:
            await self._server.call(lambda con, _: self._make(con))

    async def _make(self, con: Connection) -> None:
        await migrate(con, self._part, self._server.name)
        await self._take_in(con)

    async def _take_in(self, con: Connection) -> None:
        """Take note that the tables are there, and whether they have a policy on their rows."""
        self._server.row_security = bool(await con.fetchval(self._sql["row_security"]))
        self._there = True

    async def _exists(self) -> bool:
        return self._there or await self._server.call(lambda con, _: self._look_again(con))

    async def _look_again(self, con: Connection) -> bool:
        """Tell whether somebody has made the tables since they were looked for."""
        if await look(con, self._part, self._server.name) == len(self._part.steps):
            await self._take_in(con)
        return self._there

    # Reading

    async def _tail(self, request: _TailRequest) -> Tail:
        if not self._there and not await self._exists():
            return Tail(b"", [])
        return await self._server.call(lambda con, _: self._read(con, request))

    async def _read(self, con: Connection, request: _TailRequest) -> Tail:
        row = await con.fetchrow(self._sql["tail"], *request)
        if row is None:
            return await self._headless(con, request)
        head, seqs, bodies = row
        return Tail(head, list(zip(seqs, bodies, strict=True)) if seqs else [])

    async def _headless(self, con: Connection, request: _TailRequest) -> Tail:
        """Give the rows of a session without a head: there are none, but where somebody took it away."""
        rows = await con.fetch(self._sql["headless"], *request)
        return Tail(b"", [(seq, body) for seq, body in rows])

    async def _read_together(self, requests: list[_TailRequest]) -> list[Tail]:
        if not self._there and not await self._exists():
            return [Tail(b"", []) for _ in requests]
        return await self._server.call(lambda con, _: self._read_all(con, requests))

    async def _read_all(self, con: Connection, requests: list[_TailRequest]) -> list[Tail]:
        sessions, limits, befores = zip(*requests, strict=True)
        befores = befores if min(befores) < _ALL else ()
        found = {
            place: Tail(head, list(zip(seqs, bodies, strict=True)) if seqs else [])
            for place, head, seqs, bodies in await con.fetch(self._sql["tails"], sessions, limits, befores)
        }
        return [found.get(place) or await self._headless(con, request) for place, request in enumerate(requests, 1)]

    # Changing

    async def _swap(self, change: Change) -> bytes | None:
        return await self._server.call(lambda con, again: self._change(con, change, again))

    async def _change(self, con: Connection, change: Change, again: bool) -> bytes | None:  # noqa: FBT001
        while True:
            made = await con.fetchval(*self._statement(change))
            if made:
                return None
            # A statement of its own: the one that lost shows the state from before.
            current = (await self._heads(con, [change.session])).get(change.session, b"")
            if current != change.expected:
                return await settle(change, current, self._rows_at(con), again=again)

    def _statement(self, change: Change) -> tuple[Any, ...]:
        """Give the statement that makes a change, and its arguments."""
        rows, (first, end) = _rows(change), change.trim
        name, trim = ("move_and_trim", change.trim) if first < end else ("move", ())
        moving = (change.head, _next(change), change.due)
        if change.expected and len(rows) == 2:  # noqa: PLR2004  (as many as `_TWO_ROWS` has)
            return (self._sql_of_two[name], change.session, change.expected, *moving, *rows[0], *rows[1], *trim)
        by_column = [seq for seq, _ in rows], [body for _, body in rows]
        if change.expected:
            return (self._sql[name], change.session, change.expected, *moving, *by_column, *trim)
        return (self._sql["begin"], change.session, *moving, *by_column)

    async def _swap_together(self, changes: list[Change]) -> list[Answer]:
        return await self._server.call(lambda con, again: self._change_all(con, changes, again))

    async def _change_all(self, con: Connection, changes: list[Change], again: bool) -> list[Answer]:  # noqa: FBT001
        made = await self._move_all(con, changes)
        lost = [change.session for change in changes if change.session not in made]
        heads = await self._heads(con, lost) if lost else {}
        answers: list[Answer] = []
        for change in changes:
            if change.session in made:
                answers.append(None)
                continue
            current = heads.get(change.session, b"")
            try:
                if current == change.expected:
                    answers.append(await self._change(con, change, again))
                else:
                    answers.append(await settle(change, current, self._rows_at(con), again=again))
            except SecureMemError as exc:
                answers.append(exc)
        return answers

    async def _move_all(self, con: Connection, changes: list[Change]) -> set[bytes]:
        """Make changes in one statement; gives the sessions of those that were made."""
        rows = [(change.session, seq, body) for change in changes for seq, body in _rows(change)]
        columns = zip(*rows, strict=True) if rows else ([], [], [])
        dues, trims = [change.due for change in changes], [change.trim for change in changes]
        dues = dues if any(due is not None for due in dues) else []
        trims = trims if any(first < end for first, end in trims) else []
        made = await con.fetch(
            self._sql["moves"],
            [change.session for change in changes],
            [change.expected for change in changes],
            [change.head for change in changes],
            [_next(change) for change in changes],
            dues,
            [first for first, _ in trims],
            [end for _, end in trims],
            *columns,
        )
        return {session for (session,) in made}

    async def _heads(self, con: Connection, sessions: list[bytes]) -> dict[bytes, bytes]:
        return _pairs(await con.fetch(self._sql["heads"], sessions))

    def _rows_at(self, con: Connection) -> RowsAt:
        async def rows_at(session: bytes, seqs: list[int]) -> dict[int, bytes]:
            return _pairs(await con.fetch(self._sql["rows_at"], session, seqs))

        return rows_at


def _counts(rows: Iterable[Iterable[Any]]) -> dict[bytes, int]:
    return dict(tuple(row) for row in rows)


def _pairs(rows: Iterable[Iterable[Any]]) -> dict[Any, bytes]:
    return dict(tuple(row) for row in rows)


def _part(schema: str, table: str) -> Part:
    def quoted(name: str) -> str:
        return f'"{schema}"."{name}"'

    names = {
        "table": quoted(table),
        "sessions": quoted(f"{table}_sessions"),
        "due": f'"{table}_due"',
        "stamp": quoted(_STAMP),
    }
    folder = Path(__file__).with_name("migrations") / "postgres"
    return Part(schema, f"data:{table}", (table, f"{table}_sessions"), folder, names, shared=(_STAMP,))


def _rows(change: Change) -> list[tuple[int, bytes]]:
    """Give the rows to put: of two at a seq the later one, and none that the change itself trims."""
    if change.is_append:
        return change.rows
    first, end = change.trim
    return [row for row in dict(change.rows).items() if not first <= row[0] < end]


def _next(change: Change) -> int:
    return max((seq for seq, _ in change.rows), default=0) + 1
