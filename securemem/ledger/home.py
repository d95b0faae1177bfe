"""Where a ledger lies: what `store.Ledger` asks of a file and of a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from securemem.model import Stamp

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

T = TypeVar("T")
Work = Callable[["AsyncConnection", "Tables"], Awaitable[T]]
"""What is done in one transaction. It may be done again where the answer was lost, so it has to bear that."""

BUSY_SECONDS = 30.0


class Peek(NamedTuple):
    """What opening a store needs to know of its ledger."""

    stamp: Stamp
    unfinished: int


class Home(Protocol):
    """A place for one ledger. SQLAlchemy and Alembic are imported by the first transaction, not before."""

    @property
    def place(self) -> str:
        """Where it is, for messages; with no password in it."""

    async def peek(self) -> Peek | None:
        """Give the stamp and how many acts are not through; None where there is no ledger yet, and none is made.

        Raises:
            ConfigurationError: something else lies there, or a newer version's.
            BackendUnavailableError: it cannot be reached or read.
        """

    async def has_standing(self) -> bool:
        """Tell whether any hold or restriction stands, of any tenant; without SQLAlchemy, for chats ask it.

        Raises:
            BackendUnavailableError: it cannot be reached or read.
        """

    async def transact(self, deployment: bytes, work: Work[T]) -> T:
        """Do some work in a transaction, durably; the first one makes the tables, for this deployment.

        Raises:
            ConfigurationError: the ledger is another deployment's.
            BackendUnavailableError: it cannot be reached, read or written just now.
        """

    async def backup(self, deployment: bytes, path: Path) -> None:
        """Copy the ledger, as of one moment, into a new SQLite file (mode 0600), a ledger in its own right.

        Raises:
            ConfigurationError: it lies in memory.
        """

    async def adopt(self, deployment: bytes, copy: Path) -> None:
        """Take over a backup, all of it at once or nothing; the file is used up.

        Args:
            deployment: whose it has to be.
            copy: what `backup` has written, of this version or an older one, in the folder of a ledger that is a file.

        Raises:
            ConfigurationError: there is a ledger here, the file is none, or it is another deployment's.
        """

    async def aclose(self) -> None:
        """Close what was opened; a second call does nothing."""


def revisions() -> set[str]:
    """Give the versions of the schema that this code knows, as Alembic calls them."""
    versions = Path(__file__).with_name("migrations") / "versions"
    return {path.name[1:5] for path in versions.glob("v[0-9]*.py")}
