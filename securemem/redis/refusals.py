"""What a Redis says no with, or does not say at all, as our errors."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import NamedTuple

from redis import exceptions as rx

from securemem.errors import BackendUnavailableError, ConfigurationError, InvalidInputError, SecureMemError
from securemem.remote import Failure

NOT_CONTIGUOUS = "GAP"
"""What our own scripts say of rows that would leave a gap."""


class UnsentError(Exception):
    """No connection could be opened: nothing was sent. Its cause is the driver's error, or one of ours."""


class DepartedError(BackendUnavailableError):
    """A cluster has handed what a node had to others."""


class _Meaning(NamedTuple):
    error: type[SecureMemError]
    passing: bool
    what: str

    def of(self, name: str) -> Failure:
        return Failure(self.error(f"{name} {self.what}"), self.passing)


_RIGHTS = _Meaning(
    ConfigurationError, False, "does not let this user do that: grant it the rights that docs/servers.md names"
)
_DOWN = _Meaning(BackendUnavailableError, True, "cannot serve this part of its cluster")
_MOVING = _Meaning(BackendUnavailableError, True, "is handing its data to another node")
_BY_KIND: list[tuple[type[Exception], _Meaning]] = [
    (
        rx.AuthenticationError,
        _Meaning(ConfigurationError, False, "refused the user or the password: correct the URL"),
    ),
    (rx.AuthorizationError, _RIGHTS),
    (rx.NoPermissionError, _RIGHTS),
    (
        rx.ReadOnlyError,
        _Meaning(
            BackendUnavailableError,
            True,
            "is read-only, a replica perhaps: nothing was written; name the primary",
        ),
    ),
    (
        rx.OutOfMemoryError,
        _Meaning(BackendUnavailableError, False, "has no memory left: nothing was written"),
    ),
    (rx.BusyLoadingError, _Meaning(BackendUnavailableError, True, "is loading its data")),
    (rx.ClusterDownError, _DOWN),
    (rx.TryAgainError, _MOVING),
    (rx.NoScriptError, _Meaning(BackendUnavailableError, True, "does not keep our scripts")),
]
_BY_CODE = {
    "BUSY": _Meaning(BackendUnavailableError, True, "is busy with a script"),
    "NOREPLICAS": _Meaning(BackendUnavailableError, True, "has fewer replicas than it wants: nothing was written"),
    "MISCONF": _Meaning(BackendUnavailableError, False, "cannot write to its disk, and takes no writes"),
    "CLUSTERDOWN": _DOWN,
    "MASTERDOWN": _DOWN,
    "TRYAGAIN": _MOVING,
    "NOPERM": _RIGHTS,
    "WRONGTYPE": _Meaning(ConfigurationError, False, "has something else under our names: give another prefix"),
    NOT_CONTIGUOUS: _Meaning(InvalidInputError, False, "keeps a session's rows without gaps; these leave one"),
}
_A_NODE = _Meaning(ConfigurationError, False, "is a node of a cluster: name it as redis+cluster://")
_BY_WORDS = {
    "DB index": _Meaning(ConfigurationError, False, "has no database of this number: correct the URL"),
    "The user executing the script": _RIGHTS,
    "ACL failure in script": _RIGHTS,
}
_UNTRUSTED = _Meaning(
    ConfigurationError, False, "has a certificate that is not trusted: name its authority by ssl_ca_certs"
)


def translator(name: str, *, cluster: bool) -> Callable[[Exception], Failure | None]:
    """Give what translates a driver's errors for one server.

    Args:
        name: of the server.
        cluster: whether it is known to be a node of one.
    """

    def translated(exc: Exception) -> Failure | None:
        if isinstance(exc, UnsentError) and isinstance(exc.__cause__, Exception):
            exc = exc.__cause__
            if isinstance(exc, BackendUnavailableError):  # another server's, that was asked about this one
                return Failure(BackendUnavailableError(str(exc)), passing=True)
        for kind, meaning in _BY_KIND:
            if isinstance(exc, kind):
                return meaning.of(name)
        if isinstance(exc, rx.AskError):
            return (_MOVING if cluster else _A_NODE).of(name)
        if isinstance(exc, rx.ResponseError):
            return _refusal(name, str(exc))
        if isinstance(exc, rx.RedisError | OSError):
            return _unreachable(name, exc)
        return None

    return translated


def redirected(exc: rx.ResponseError) -> rx.ResponseError:
    """Give a refusal that names another node as that: older versions of redis-py know it in cluster clients only."""
    code, _, where = str(exc).partition(" ")
    if type(exc) is rx.ResponseError and code in ("MOVED", "ASK"):
        return rx.MovedError(where) if code == "MOVED" else rx.AskError(where)
    return exc


def _refusal(name: str, text: str) -> Failure:
    """Translate an answer that says no, by its first word or some others; the rest may quote what was sent."""
    code = text.partition(" ")[0]
    if code in _BY_CODE:
        return _BY_CODE[code].of(name)
    for words, meaning in _BY_WORDS.items():
        if words in text:
            return meaning.of(name)
    code = code if code.isalpha() and code.isupper() else "ERR"
    return Failure(BackendUnavailableError(f"{name} refused a command ({code})"), False)


def _unreachable(name: str, exc: Exception) -> Failure:
    """Translate a connection that failed; a certificate that is not trusted stays so."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _UNTRUSTED.of(name)
        cause = cause.__cause__ or cause.__context__
    return Failure(BackendUnavailableError(f"{name} cannot be reached ({type(exc).__name__})"), True)
