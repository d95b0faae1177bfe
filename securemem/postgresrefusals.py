"""What a PostgreSQL says no with, or does not say at all, as our errors."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from asyncpg import exceptions as pg

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.remote import Failure

LOST = (
    pg.PostgresConnectionError,
    pg.CannotConnectNowError,
    pg.AdminShutdownError,
    pg.CrashShutdownError,
    pg.ReadOnlySQLTransactionError,  # where the name leads to another server by now
    pg.InterfaceError,
    pg.InternalClientError,  # as asyncpg says of a connection that the server ended between two calls
    OSError,
)
"""After which another connection may go better, a new one: those that are open lead to the same server."""
PASSING = (
    *LOST,
    pg.TooManyConnectionsError,
    pg.DeadlockDetectedError,
    pg.SerializationError,
    pg.QueryCanceledError,
    pg.LockNotAvailableError,
)
"""After which another try may go better."""

_LOCKED = "do that just now: another process keeps it locked"
_POOLED = "gives every transaction another connection, it seems: behind a pooler by transaction name pooler=transaction"
_NO_TLS = "does not speak TLS: correct sslmode in the URL, or set the server up for it"
_WRONG = {
    ssl.SSLCertVerificationError: (
        "has a certificate that is not trusted, or another host's: name its authority by sslrootcert, and the host as "
        "the certificate does"
    ),
    pg.DuplicatePreparedStatementError: _POOLED,
    pg.InvalidSQLStatementNameError: _POOLED,
    pg.InvalidPasswordError: "refused the user or the password: correct the URL",
    pg.InvalidAuthorizationSpecificationError: (
        "does not let this user in from here: see its pg_hba.conf, and whether the role may log in"
    ),
    pg.InvalidCatalogNameError: "has no database of this name: create it, or correct the URL",
    pg.InsufficientPrivilegeError: "does not let this user do that: grant it the rights that docs/servers.md names",
    pg.ClientConfigurationError: "cannot be reached by this URL: correct its parameters",
    pg.CantChangeRuntimeParamError: "refused a parameter of the URL: correct it",
    pg.UndefinedObjectError: "refused a parameter of the URL: correct it",
}


def translator(name: str, *, by_transaction: bool) -> Callable[[Exception], Failure | None]:
    """Give what translates a driver's errors for one server, or errors that wrap these.

    Args:
        name: of the server.
        by_transaction: whether it is behind a pooler that gives every transaction another connection.
    """

    def translated(exc: Exception) -> Failure | None:
        if (wrong := _wrong(exc, by_transaction=by_transaction)) is not None:
            return Failure(ConfigurationError(f"{name} {wrong}"), False)
        if isinstance(exc, pg.ReadOnlySQLTransactionError):
            # After a failover the name may lead to the new primary soon.
            refusal = f"{name} is read-only, a standby perhaps: nothing was written; name the primary"
            return Failure(BackendUnavailableError(refusal), True)
        if isinstance(exc, PASSING):
            what = _LOCKED if isinstance(exc, pg.LockNotAvailableError) else f"be reached ({type(exc).__name__})"
            return Failure(BackendUnavailableError(f"{name} cannot {what}"), True)
        if isinstance(exc, pg.InsufficientResourcesError):
            return Failure(BackendUnavailableError(f"{name} has no room left: nothing was written"), False)
        if isinstance(exc, pg.PostgresError):
            return Failure(BackendUnavailableError(f"{name} refused a statement ({exc.sqlstate})"), False)
        return None

    return translated


def _wrong(exc: Exception, *, by_transaction: bool) -> str | None:
    """Give what has to be set otherwise, where an error says that."""
    if isinstance(exc, pg.ProtocolViolationError) and "startup parameter" in str(exc):
        return _WRONG[pg.CantChangeRuntimeParamError] if by_transaction else _POOLED
    if type(exc) is ConnectionError and "SSL" in str(exc):  # as the driver says of a server that wants none
        return _NO_TLS
    return next((what for kind, what in _WRONG.items() if isinstance(exc, kind)), None)
