"""One PostgreSQL database as we call it: a few asyncpg connections, opened when they are wanted, one call each.

What asyncpg's own pool does besides costs a hidden round trip a call (it resets a session that we never change), so the
connections are kept here: a call that failed or was cancelled in mid-air costs its connection, and the next opens a
new one. After one that was lost, or silent, or led to a server that only reads, none is used again that is open, for
the name may lead to another server by then. Through a pooler that gives every transaction another server connection
(`pooler=transaction`) no statement is prepared by name.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias, TypeVar

import asyncpg
from asyncpg import exceptions as pg

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.postgresrefusals import LOST, PASSING, translator
from securemem.postgresurl import by_host, missing_file, place_of
from securemem.remote import Patience, Remote, Watch, number

T = TypeVar("T")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work = Callable[[Connection, bool], Awaitable[T]]
Greet: TypeAlias = Callable[[Connection], Awaitable[None]]
"""Looks at a server by a new connection; what it raises is given to whoever asked for that."""

LEAST_VERSION = 130000
CONNECTIONS = 8
STATEMENTS = 1024
SCHEMA = "public"
"""Where tables lie if the URL does not say."""
PLANNING = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
"""Our statements find rows by key, so that one plan does: to plan for every call would cost more than the call."""
ISOLATION = {"default_transaction_isolation": "read committed"}
"""What waited for a lock has to see what its holder wrote, whatever the database or the role has by default."""
ABANDONED_SECONDS = 10.0
"""How long a transaction of ours stands still, at least, before the server ends it: its process is frozen, or cut off,
and others wait for what it has locked."""
TENANT = "securemem.tenant"
"""The setting that tells a policy on rows whose they are: the tenant's handle in hex, on every connection."""
OPTIONS = frozenset({"schema", "pool_size", "timeout", "patience", "pooler"})
"""What of a URL's query is ours; the rest is the driver's, `sslmode` and `sslrootcert` among it."""

_FACTS = """
SELECT current_setting('server_version_num')::int, pg_is_in_recovery(), current_setting('server_encoding')
"""
_ENCODINGS = ("UTF8", "SQL_ASCII")
_LIMITS_TRANSACTIONS = 17
"""The version from which on the server has a `transaction_timeout`; as a parameter of a new connection an older one
would refuse it."""
_LEAST_SECONDS = 0.01
_OF_A_TRY = 0.8
"""The part of the time of a try after which the server gives up waiting for a lock, so that it still says so."""
_MOST_MILLISECONDS = 2**31 - 1
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}\Z")
_OF_A_HOST = (OSError, pg.CannotConnectNowError, pg.TargetServerAttributeNotMatched)
"""After which the next host is asked, as the driver does."""


class PostgresServer:
    """One database, by its URL.

    Attributes:
        size: how many connections there are at most.
        seconds: how long an answer is waited for.
        schema: where our tables lie.
        row_security: whether the tables have a policy on their rows.
        translated: gives a driver's error as one of ours.
        greet: looks at the server by every new connection that calls share, before the first of them; None for nothing.
    """

    def __init__(self, url: str, options: Mapping[str, str]) -> None:
        """Name a database; nothing is opened yet.

        Args:
            url: `postgresql://…`, with the driver's own parameters.
            options: of `OPTIONS`.

        Raises:
            ConfigurationError: an option that is out of range.
        """
        self._hosts = by_host(url)
        self.schema = options.get("schema", SCHEMA)
        if not _IDENTIFIER.match(self.schema):
            raise ConfigurationError("schema has to be letters, digits and underscores, at most 63")
        pooler = options.get("pooler", "none")
        if pooler not in ("none", "transaction"):
            raise ConfigurationError("pooler is 'transaction' behind a pooler that works by transaction, or not given")
        self.size = int(number(options, "pool_size", CONNECTIONS, least=1))
        self._by_transaction = pooler == "transaction"
        self._tenant = ""
        self.row_security = False
        self.greet: Greet | None = None
        self._free: list[Connection] = []
        self._room = asyncio.Semaphore(self.size)
        self._closed = False
        patience = Patience.of(options)
        self.seconds = patience.attempt
        self._watch: Watch[Connection] = Watch(asyncpg.Connection.terminate)
        name = f"PostgreSQL at {place_of(url)}"
        self.translated = translator(name, by_transaction=self._by_transaction)
        self._remote = Remote(name, self.translated, patience, self._failed)

    @property
    def name(self) -> str:
        """The server, for errors."""
        return self._remote.name

    async def call(self, work: Work[T]) -> T:
        """Give a connection to some work and its answer back; again where the connection failed.

        Args:
            work: gets the connection, and whether an earlier try may have been carried out.

        Raises:
            BackendUnavailableError, ConfigurationError: as `Remote.call`.
        """
        if self._closed:
            raise BackendUnavailableError(f"{self.name}: this connection was closed")
        if not self._free or self._room.locked() or not self._remote.well:
            return await self._remote.call(lambda again: self._lend(work, again))
        began = time.monotonic()
        try:
            return await self._lend(work, again=False)
        except Exception as exc:  # noqa: BLE001  (sorted out there)
            return await self._remote.go_on(lambda again: self._lend(work, again), exc, since=began)

    async def retrying(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        """Make a call to this server by another way than our connections, as `Remote.call` does."""
        return await self._remote.call(attempt)

    @asynccontextmanager
    async def connection(self, seconds: float | None) -> AsyncIterator[Connection]:
        """Give a connection of its own for something long, once, and close it.

        Args:
            seconds: how long it may take; None for as long as it takes, where each call has a limit of its own.

        Raises:
            BackendUnavailableError, ConfigurationError: as `call`.
        """
        try:
            async with asyncio.timeout(seconds):
                connection = await self.connect(long=True)
                try:
                    if not self._by_transaction and connection.get_server_version().major >= _LIMITS_TRANSACTIONS:
                        await connection.execute("SET transaction_timeout = 0", timeout=self.seconds)
                    yield connection
                finally:
                    connection.terminate()
        except TimeoutError as exc:
            within = self.seconds if seconds is None else seconds
            raise BackendUnavailableError(f"{self.name} did not get through within {within:g} s") from exc
        except Exception as exc:
            failure = self.translated(exc)
            if failure is None:
                raise
            raise failure.error from exc

    async def _lend(self, work: Work[T], again: bool) -> T:  # noqa: FBT001  (as `Work` has it)
        async with self._room:
            connection = self._taken() or await self._greeted()
            fenced = self._by_transaction and self.row_security
            self._watch.begin(connection, self.seconds)
            try:
                result = await (self._fenced(work, connection, again) if fenced else work(connection, again))
            except BaseException as exc:
                if not self._watch.end(connection) and isinstance(exc, Exception):
                    raise TimeoutError from exc
                if isinstance(exc, pg.PostgresError) and not isinstance(exc, PASSING) and _is_idle(connection):
                    self._take_back(connection)  # the server said no, and goes on
                else:
                    connection.terminate()
                raise
            self._watch.end(connection)
            self._take_back(connection)
            return result

    async def _fenced(self, work: Work[T], connection: Connection, again: bool) -> T:  # noqa: FBT001
        """Do some work as the tenant, where the rows' own policy wants that and the connection is not ours alone."""
        await connection.execute(
            f"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT set_config('{TENANT}', '{self._tenant}', true)"
        )
        result = await work(connection, again)
        await connection.execute("COMMIT")
        return result

    def bind(self, tenant: bytes) -> None:
        """Be one tenant's from now on: a policy on the rows can go by the setting `securemem.tenant`."""
        self._tenant = tenant.hex()
        self._drop()

    def _failed(self, exc: Exception) -> None:
        """Use no connection again that leads where this one did."""
        if isinstance(exc, LOST):
            self._drop()

    def _drop(self) -> None:
        while self._free:
            self._free.pop().terminate()

    async def _greeted(self) -> Connection:
        """Open a connection that calls share, and look at the server by it."""
        connection = await self.connect()
        try:
            if self.greet is not None:
                async with asyncio.timeout(self.seconds):
                    await self.greet(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _take_back(self, connection: Connection) -> None:
        if self._closed:
            connection.terminate()  # it was lent when the others were closed
        else:
            self._free.append(connection)

    def _taken(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            if not connection.is_closed():
                return connection
        return None

    async def connect(self, *, long: bool = False) -> Connection:
        """Open a connection, which is the caller's to close.

        Of several hosts each has its share of the time, in the order of the URL, but for the one that worked last,
        which comes first.

        Args:
            long: whether it is for what takes its time, as a backup does: then the server has no limits for it.

        Raises:
            ConfigurationError: the URL cannot be used.
        """
        settings = {"application_name": "securemem"}
        if not self._by_transaction:
            settings |= PLANNING | ISOLATION | self._limits(long=long)
            settings |= {TENANT: self._tenant} if self._tenant else {}
        until, hosts = time.monotonic() + self.seconds, self._hosts
        failed: Exception = OSError()
        for tried, url in enumerate(hosts):
            share = (until - time.monotonic()) / (len(hosts) - tried)
            try:
                connection = await self._connect_to(url, settings, max(share, _LEAST_SECONDS))
            except _OF_A_HOST as exc:
                failed = exc
            else:
                self._hosts = [url, *hosts[:tried], *hosts[tried + 1 :]]
                return connection
        raise failed

    async def _connect_to(self, url: str, settings: dict[str, str], seconds: float) -> Connection:
        try:
            return await asyncpg.connect(
                url,
                statement_cache_size=0 if self._by_transaction else STATEMENTS,
                max_cached_statement_lifetime=0,
                server_settings=settings,
                timeout=seconds,
            )
        except OSError:
            if (name := missing_file(url)) is not None:
                raise ConfigurationError(f"{self.name}: {name} names a file that cannot be read: correct it") from None
            raise
        except ValueError:
            # From nothing: what the driver says repeats a part of the URL.
            raise ConfigurationError(f"{self.name} cannot be reached by this URL: correct its parameters") from None

    def _limits(self, *, long: bool) -> dict[str, str]:
        """Give the server's own limits, which the role may have otherwise; none for what is long."""
        if long:
            return dict.fromkeys(("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"), "0")
        seconds = {
            "lock_timeout": _OF_A_TRY * self.seconds,
            "idle_in_transaction_session_timeout": max(2 * self.seconds, ABANDONED_SECONDS),
        }
        return {name: str(min(math.ceil(1000 * each), _MOST_MILLISECONDS)) for name, each in seconds.items()}

    async def check(self) -> None:
        """Connect, and refuse a server that is too old, or that only reads, or that cannot keep every text.

        Raises:
            ConfigurationError, BackendUnavailableError: as the server is.
        """
        version, standby, encoding = await self.call(_facts)
        if version < LEAST_VERSION:
            raise ConfigurationError(f"{self.name} is of version {version // 10000}: PostgreSQL 13 or later is needed")
        if standby:
            raise BackendUnavailableError(f"{self.name} is a standby, which only reads: name the primary")
        if encoding not in _ENCODINGS:
            raise ConfigurationError(f"{self.name} keeps texts in {encoding}: make a database with ENCODING 'UTF8'")

    def reopen(self) -> None:
        """Be usable again after `aclose`."""
        self._closed = False

    async def aclose(self) -> None:
        """Close the connections."""
        self._closed = True
        while self._free:
            connection = self._free.pop()
            try:
                await connection.close(timeout=1.0)
            except (*PASSING, TimeoutError):
                connection.terminate()


def _is_idle(connection: Connection) -> bool:
    return not connection.is_closed() and not connection.is_in_transaction()


async def _facts(connection: Connection, _: bool) -> tuple[int, bool, str]:  # noqa: FBT001
    [row] = await connection.fetch(_FACTS)
    return row[0], row[1], row[2]
