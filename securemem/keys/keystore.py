"""The keystore: where wrapped keys lie, and the map from a real id (as a keyed hash) to a random handle.

It holds nothing that opens anything without the KMS, and no id in clear. Its answers are rows; what they mean is the
keyring's. It is a port in chapters, by who asks; an adapter answers all of them, as `Keystore` says. Every call is one
atomic step, seen whole by all who share the place, and durable when it returns. A call whose answer was lost is settled
by what stands: nothing is inserted twice, and nothing that was deleted comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from securemem.keys.rows import (
    EpochRow,
    Floor,
    Found,
    Guard,
    GuestKey,
    GuestRow,
    Minted,
    NewSession,
    NewUser,
    Owner,
    Renewed,
    Rewrapped,
    SessionRow,
    TenantKeyRow,
    UserRow,
)
from securemem.model import Residue, Route, Stamp


class Store(Protocol):
    """What the keystore says of itself, and what is left in it."""

    @property
    def place(self) -> str:
        """Where it lies, for messages; with no password in it."""

    async def open(self) -> Stamp | None:
        """Connect, and give the stamp; None where no deployment has used it yet, and then nothing is created.

        Raises:
            ConfigurationError: what lies there is not ours, or of a newer version.
            BackendUnavailableError: it cannot be reached or read.
        """

    async def stamp_now(self) -> Stamp:
        """Give the stamp of a keystore that belongs to a deployment."""

    async def stamp(self, stamp: Stamp) -> None:
        """Set the deployment where there is none, and raise the counter to the stamp's where that is higher."""

    async def counts(self) -> tuple[int, int]:
        """Give how many users and sessions have keys."""

    async def purge(self, seconds: float) -> list[Residue]:
        """Remove what deletions left on disk, waiting at most so long, and say what is still left."""

    async def backup(self, path: Path) -> str:
        """Copy the keystore into a new SQLite file (mode 0600), a keystore in its own right, and read it back.

        Returns:
            The SHA-256 of its rows, in hex, which the copy's equals.

        Raises:
            ConfigurationError: as `newfile.check_place`.
            NotReadyError: what was read back is not what is here.
        """

    async def adopt(self, copy: Path) -> None:
        """Take over a backup, all of it at once or nothing; the file is used up.

        Args:
            copy: what `backup` has written, of this version or an older one, in the folder of a keystore that is a
                file.

        Raises:
            ConfigurationError: there is a keystore here, or the file is none.
        """

    async def aclose(self) -> None:
        """Close what `open` opened; a second call does nothing."""


class Lookup(Protocol):
    """What reading and writing messages asks: the hot part."""

    async def find(self, user_tags: list[bytes], session_tags: list[bytes]) -> Found:
        """Look up a user, and a session of that user where tags of one are given."""

    async def mint(self, user: NewUser | UserRow, session: NewSession, guard: Guard) -> Minted:
        """Insert a session, and its user if that is new, in one commit that needs the user's row.

        Args:
            user: the row to insert, or the one that has to be there still, in the same generation.
            session: the row to insert.
            guard: the open epoch, and the tags of both under every epoch that lives.

        Returns:
            EXISTS where either is there already under any of these tags, or where it cannot be told any more: look it
            up, and try again with new handles.
        """

    async def add_guest(self, session: bytes, user: NewUser | UserRow, key: GuestKey, guard: Guard) -> Minted:
        """Insert a guest's key for a session that has to be there still, and the guest's row if that is new.

        Returns:
            USER_GONE where the session or the guest's row is not there; EXISTS as `mint`.
        """

    async def guests(self, session: bytes) -> list[GuestRow]:
        """Give the guests' keys of a session."""

    async def page(
        self, tenant: int, *, after: int, limit: int, user: bytes | None
    ) -> list[tuple[int, UserRow, SessionRow]]:
        """Give the next sessions of a tenant (or of one user in it), each with the number to go on after."""

    async def raise_floors(self, floors: list[Floor]) -> None:
        """Record how far sessions have come; a floor that is higher already stays."""

    async def forget_floors(self, sessions: list[bytes]) -> None:
        """Know no more how far sessions have come: the data was restored, on purpose, from before they were begun."""


class Shredding(Protocol):
    """What destruction asks."""

    async def user_row(self, user: bytes) -> UserRow | None:
        """Give a user's row by their handle, or None where it is gone."""

    async def sessions_of(self, user: int) -> tuple[list[bytes], list[bytes]]:
        """Give the handles of a user's own sessions, and of those in which they are a guest."""

    async def owner_of(self, session: bytes) -> Owner | None:
        """Give whose session it is, or None where it has no key any more."""

    async def shred_user(self, user: int, *, known: set[bytes]) -> bool:
        """Delete a user's key and every session key under it, in one commit.

        Args:
            user: the row's number; one that is gone is fine.
            known: the sessions whose heads were closed or stubbed.

        Returns:
            False where there is a session that is not among them: nothing was deleted.
        """

    async def renew_user(self, new: Renewed, *, known: set[bytes]) -> Minted:
        """Put a user's key of the next generation in place of the one that stands, in one commit.

        Every session key under that one is deleted, but those that go on under the new one.

        Args:
            new: the key, and what goes on under it.
            known: the sessions whose heads were closed or stubbed.

        Returns:
            EXISTS where there is a session that is in neither, or one that was to go on is gone; USER_GONE where the
            user is not there in that generation any more; EPOCH_MOVED as `mint`: nothing was changed.
        """

    async def shred_session(self, session: bytes) -> None:
        """Delete a session's keys, its guests' among them; one that has none any more is fine."""


class Tenants(Protocol):
    """The organisations in a keystore, and their own keys."""

    async def tenants(self) -> list[tuple[int, bytes, str]]:
        """Give (number, handle, name) of all tenants."""

    async def tenant(self, name: str) -> tuple[int, bytes] | None:
        """Give (number, handle) of a tenant."""

    async def is_any_apart(self, beginning: str) -> bool:
        """Tell whether there is a tenant whose name begins otherwise; that is looked for where the keystore lies."""

    async def add_tenant(self, handle: bytes, name: str, keys: list[TenantKeyRow]) -> Minted:
        """Insert a tenant with its keys, which have to be wrapped under the open epoch."""

    async def rename_tenants(self, names: Mapping[str, str]) -> None:
        """Give tenants other names, which are nobody's yet, by the present ones; who is not there is passed over."""

    async def tenant_keys(self, tenant: int) -> list[TenantKeyRow]:
        """Give a tenant's wrapped keys, by ascending epoch."""

    async def add_tenant_key(self, tenant: int, row: TenantKeyRow) -> None:
        """Insert a tenant's key for one more epoch; one that is there stays."""

    async def delete_tenant_keys(self, epoch: int) -> None:
        """Delete the tenants' keys under an epoch that was rewrapped."""


class Epochs(Protocol):
    """What every key hangs on, and how it moves on: what a rotation asks."""

    async def epochs(self) -> list[EpochRow]:
        """Give all epochs that ever were, ascending."""

    async def add_epoch(self, epoch: int, state: str, since: int) -> None:
        """Add an epoch, the first one open and later ones coming; one that is there stays."""

    async def switch_epoch(self, old: int, new: int, since: int) -> bool:
        """Seal one epoch and open the next; False where a tenant lacks a key under the next yet.

        Nothing is wrapped under the sealed one any more: an insertion under way is in before, or fails.

        Raises:
            NotReadyError: the old epoch is not open, for another process rotates.
        """

    async def users_by_epoch(self) -> dict[int, int]:
        """Give how many users' keys are wrapped under each epoch."""

    async def users_under(self, epoch: int, limit: int) -> list[tuple[int, UserRow]]:
        """Give users (tenant, row) whose keys are wrapped under an older epoch than this."""

    async def sessions_to_retag(self, user: int) -> list[SessionRow]:
        """Give all sessions of a user, for a new tag."""

    async def rewrap(self, row: UserRow, new: Rewrapped) -> None:
        """Put a user's key under a new epoch and give new tags, if the old blob still stands."""

    async def set_destroyed(self, epoch: int, since: int) -> None:
        """Say that an epoch's KEK is destroyed."""


class Routes(Protocol):
    """On which servers the tenants' sessions lie."""

    async def routes(self) -> list[tuple[str, Route]]:
        """Give (name, route) of all tenants."""

    async def route(self, name: str) -> Route | None:
        """Give a tenant's route as it stands now; None where there is no tenant of this name."""

    async def set_route(self, name: str, expected: Route, new: Route) -> bool:
        """Change a tenant's route if the expected one, by its version, stands; tell whether it did."""


class Keystore(Store, Lookup, Shredding, Tenants, Epochs, Routes, Protocol):
    """All of it; an object serves one event loop."""
