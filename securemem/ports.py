"""Every port: what the services ask of the adapters, as Protocols, with the edges settled in their docstrings.

Driver errors never cross a port: an adapter raises `BackendUnavailableError`, `KMSUnavailableError` or
`ConfigurationError` from them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, runtime_checkable

from securemem.crypto.secret import RawKey
from securemem.model import Change, Residue, Span, Stamp, Tail

Clock = Callable[[], datetime]
"""Gives the present moment as an aware datetime in UTC. Every deadline is reckoned by it."""

ALL_ROWS = 0xFFFFFFFF
"""More rows than any session has: the limit for `Backend.tail` to give them all."""


class Backend(Protocol):
    """A data store: sealed records and heads, by session handle; it can read neither.

    One object serves one event loop. A handle has 16 bytes, a seq is from 1 to 2³² - 2. Rows of one session are
    contiguous in seq; what they hold is the caller's. Nothing here looks at a clock.
    """

    async def open(self) -> Stamp | None:
        """Connect, and give the stamp; None from a store that nobody has used yet, which the first use creates.

        Raises:
            ConfigurationError: what lies there is not ours, or of a newer version.
            BackendUnavailableError: it cannot be reached or read.
        """

    async def stamp(self, stamp: Stamp) -> None:
        """Set the deployment where there is none yet, and raise the counter to the stamp's where that is higher."""

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """Read the head and the newest `limit` rows with seq below `before`, from one consistent state.

        An unknown session gives no head and no rows. Rows come without a head where only they are there.
        """

    async def swap(self, change: Change) -> bytes | None:
        """Make one change, atomically and durably, if the expected head stands.

        Returns:
            None where it was made; else the head that stands (empty if there is none), and nothing was changed.
        """

    async def delete(self, sessions: Sequence[bytes], *, heads: bool) -> int:
        """Delete all rows of the sessions, and their heads too where asked; unknown ones are passed over.

        Returns:
            How many rows were deleted.
        """

    async def due(self, now: int, limit: int) -> list[bytes]:
        """Give sessions whose `due` is not NEVER and not after `now` (milliseconds), the most overdue first."""

    async def purge(self, seconds: float) -> list[Residue]:
        """Remove what deletions left on disk, waiting at most so long, and say what is still left."""

    async def aclose(self) -> None:
        """Close what `open` opened; a second call does nothing."""


@runtime_checkable
class Prefetching(Protocol):
    """An ability of a data store: it asks its server for a page, and the caller does something else meanwhile."""

    def prefetch(self, session: bytes, limit: int, before: int | None = None) -> Awaitable[Tail] | None:
        """Ask for what `Backend.tail` gives, now and without waiting.

        Returns:
            What gives it, with all tries that `Backend.tail` makes, and need not be awaited; None where the server
            cannot be asked just now.
        """


@runtime_checkable
class Reconnecting(Protocol):
    """An ability of a data store: its server may go back to an older state while it is open, and it finds that out.

    Attributes:
        encounters: how often a new connection led to a server that may lack what was written before: another one, or
            one that was started anew. Where the number stands what was written in between is on one server.
    """

    encounters: int

    def hold_against(self, least: Callable[[], Awaitable[int]]) -> None:
        """Refuse, on every new connection, a server whose stamp counts less.

        Args:
            least: gives what it has to count, by what else is known of the deployment.
        """

    async def persist(self, seconds: float) -> None:
        """Wait until a failure of the server would not take away what was written, as far as its settings let that be.

        Args:
            seconds: how long, at most.
        """


@runtime_checkable
class TenantBound(Protocol):
    """An ability of a data store: its server keeps tenants apart besides, once it is told whose rows are asked for."""

    def bind(self, tenant: bytes) -> None:
        """Take the handle of the tenant whose sessions are read and written from now on."""


class Carrier(Protocol):
    """Carries sessions from one server to another; it holds the key of their heads."""

    def fence(self, session: bytes, move: int, expected: bytes) -> Change:
        """Give the change that keeps a session from being begun where it would be left.

        Args:
            session: its handle.
            move: the version of the route; the head that stands from then on is the same for each.
            expected: what stands there now: another fence, or nothing.
        """

    async def carry(self, session: bytes, source: Backend, target: Backend) -> None:
        """Go on with a session that was closed at the source, from wherever it was left, until it is at the target."""


@runtime_checkable
class Spread(Protocol):
    """An ability of a data store: its tenants lie on several servers, each of which has a name."""

    async def at(self, server: str) -> Backend:
        """Give the data store on one of them, open; one that nobody has used yet is made this deployment's.

        Raises:
            ConfigurationError: there is none of this name, or it is another deployment's.
        """

    def counter(self, server: str) -> int:
        """Give what the stamp of an open one counted when it was opened."""

    async def catch_up(self, server: str, stamp: Stamp) -> None:
        """Stamp an open one that has missed nothing up to there, and keep its stamp up to date from then on."""

    def hand_over(self, by: Carrier) -> None:
        """Take what carries sessions from one server to another."""


@runtime_checkable
class Sparing(Protocol):
    """An ability of a data store: it makes many changes, and holds others up as little as can be."""

    async def swap_all(self, changes: Sequence[Change]) -> list[bytes | None]:
        """Make changes, each of another session and each as `swap` does; they are durable when this returns."""


@runtime_checkable
class Countable(Protocol):
    """An ability of a data store: it counts records by the columns that say how long they live."""

    async def census(self, sessions: Sequence[bytes] | None) -> dict[bytes, int]:
        """Count records, stubs left out.

        Args:
            sessions: whose; all that lie there if None.

        Returns:
            How many there are, by the 16 bytes of their headers that say expiry, class and hour, as they lie there.
        """


@runtime_checkable
class Cautious(Protocol):
    """An ability of a data store: once open, it says what of its server's settings may lose what was written."""

    caveats: list[str]


class Replica(Protocol):
    """A copy of a data store that may lag behind it; only read, and never believed without the keystore."""

    async def tail(self, session: bytes, limit: int, before: int | None = None) -> Tail:
        """As `Backend.tail`, as of some moment in the past."""

    async def aclose(self) -> None:
        """Close what was opened; a second call does nothing."""


class KeyManagementService(Protocol):
    """Holds KEKs in numbered epochs, and wraps under them without letting them out.

    Epochs count from 1. Which one is open or sealed is the keystore's to say; the KMS creates, uses and destroys.
    """

    async def open(self, deployment: bytes, *, create: bool) -> None:
        """Get ready for a deployment, which is bound into the KMS where it keeps files of its own.

        Args:
            deployment: the deployment's id, 16 bytes.
            create: whether a missing KEK may be made; False wherever anything is wrapped already.

        Raises:
            ConfigurationError: missing, unreadable, open to others, or another deployment's.
            WrongKeyError: a wrong passphrase.
            KMSUnavailableError: no answer.
        """

    async def epochs(self) -> list[int]:
        """Give the epochs whose KEK is alive, ascending."""

    async def create_epoch(self, epoch: int) -> None:
        """Make the KEK of an epoch, durably, before this returns; an epoch that is there stays as it is."""

    async def wrap(self, epoch: int, key: RawKey, *, context: bytes) -> bytes:
        """Wrap a key under an epoch's KEK, bound to a context; gives a box for `crypto.wrapping.enclose`."""

    async def unwrap(self, epoch: int, box: bytes, *, context: bytes) -> RawKey:
        """Unwrap a box.

        Raises:
            WrongKeyError: the KEK of this epoch is another, was destroyed, or the context differs.
            KMSUnavailableError: no answer.
        """

    async def destroy_epoch(self, epoch: int) -> None:
        """Destroy an epoch's KEK for good, durably; one that is gone already is fine."""

    async def aclose(self) -> None:
        """Wipe what is held in memory."""


class AuditSink(Protocol):
    """A place outside where signed checkpoints of the audit are put down, out of reach of who could rewrite a ledger.

    It may serve any number of logs, by their origins, and trusts nobody: who reads checks the signatures.
    """

    async def put(self, origin: str, size: int, note: str) -> None:
        """Put a note down, durably, before this returns; one that is there already is fine.

        Args:
            origin: which log it is of; and
            size: of how many entries, as the note says too.
            note: as `crypto.note` says.

        Raises:
            BackendUnavailableError: it does not answer, or cannot write.
            ConfigurationError: it refuses, and will do so again.
        """

    async def notes(self, origin: str, limit: int | None = None) -> list[str]:
        """Give the newest notes of a log, the newest last; none where there is none yet.

        Args:
            origin: the log.
            limit: how many at most, 1 or more; all if None. A place that keeps the newest alone gives that one.

        Raises:
            BackendUnavailableError, ConfigurationError: as `put`.
        """


class Tokenizer(Protocol):
    """Counts what a text costs a model."""

    def count(self, text: str) -> int:
        """Give the number of tokens in a text; 0 for an empty one."""


class PIIEngine(Protocol):
    """Finds personal data in texts; made from a `model.Detection` by what an entry point of its name leads to.

    Attributes:
        entities: what it can find, of what it was asked for.
        quick: whether `find` takes microseconds, so that it is called on the event loop; else it is called in threads,
            several at once.
    """

    entities: frozenset[str]
    quick: bool

    def open(self) -> None:
        """Load what it needs, which may take seconds; a second call does nothing. It never fetches from a network.

        Raises:
            ConfigurationError: a package or a model is missing or altered, or there is none for one of the languages;
                the error says which command brings it.
        """

    def find(self, text: str, language: str, entities: frozenset[str]) -> list[Span]:
        """Give the spans of some entities in a text, ascending by start.

        Any text that a `str` can hold is taken, lone surrogates and a million characters included; an empty one has no
        spans. Spans of several entities may overlap; those of one do not, and none is empty. Entities and languages
        that it does not know have none. Whatever it raises fails the save.
        """
