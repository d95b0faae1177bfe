"""Settings: from the URL, arguments, `SECUREMEM_*` variables and `securemem.toml`, in that order of strength.

A server's URL carries options of its own besides, and the driver's parameters; both are left to the store that it
names.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

from securemem.errors import ConfigurationError, InvalidInputError
from securemem.model import HOME
from securemem.residue import Lasting

SETTINGS_FILE = "securemem.toml"
SERVERS = (
    *("postgresql", "postgres", "redis", "rediss"),
    *("redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"),
)
_NAMES = frozenset(
    {"keystore", "ledger", "kms", "table_name", "prefix", "replica", "backup_days", "memory_days", "audit_sink"}
)
_DAYS = frozenset({"backup_days", "memory_days"})
_TEXTS = (_NAMES | {"url"}) - _DAYS
_MOST_DAYS = 36_500
_TABLES = ("postgresql", "postgres", "sqlite")
_SERVER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the three stores and the KMS are.

    Attributes:
        url: the data store; of its query only what a server's driver and options want is left.
        keystore: its URL, or None for the place beside the data.
        ledger: likewise.
        kms: likewise.
        table_name: the data's table, or None for the default.
        prefix: of the data's names on Redis, or None for the default.
        replica: a standby of the data's server that reads are asked of, or None.
        servers: the URLs of further servers that tenants can lie on, by their names.
        audit_sink: where checkpoints of the audit are put down, or None.
        lasting: how long copies of what was deleted live, by the operator's statement.
    """

    url: str
    keystore: str | None
    ledger: str | None
    kms: str | None
    table_name: str | None
    prefix: str | None = None
    replica: str | None = None
    servers: Mapping[str, str] = field(default_factory=dict)
    audit_sink: str | None = None
    lasting: Lasting = field(default_factory=Lasting)


def _from_file() -> dict[str, Any]:
    path = Path(SETTINGS_FILE)
    if not path.is_file():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{SETTINGS_FILE} cannot be read: {type(exc).__name__}; correct or remove it") from exc
    unknown = settings.keys() - _NAMES - {"url", "servers"}
    if unknown:
        raise ConfigurationError(f"{SETTINGS_FILE} has unknown settings: {', '.join(sorted(unknown))}")
    for name in sorted(settings.keys() & _TEXTS):
        _check_text(settings[name], f"{SETTINGS_FILE}: {name}")
    for name in sorted(settings.keys() & _DAYS):
        try:
            _days(name, settings[name])
        except InvalidInputError as exc:
            raise ConfigurationError(f"{SETTINGS_FILE}: {exc}") from None
    return settings


def _check_text(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} has to be a text, in quotes")


def resolve(
    url: str | None, *, backup_days: float | None = None, memory_days: float | None = None, **arguments: str | None
) -> Settings:
    """Put the settings together.

    Args:
        url: the data store's URL, or None to take it from `SECUREMEM_URL` or the file.
        backup_days: as `residue.Lasting` has it, in days; and
        memory_days: likewise.
        arguments: `keystore`, `ledger`, `kms`, `table_name`, `prefix`, `replica` and `audit_sink`, each None where not
                given.

    Raises:
        ConfigurationError: no URL anywhere, an unknown setting, or one that is no text.
        InvalidInputError: days that are no number, or out of range.
    """
    for name, value in ({"url": url} | arguments).items():
        if value is not None:
            _check_text(value, name)
    file = _from_file()
    url = url or os.environ.get("SECUREMEM_URL") or file.get("url")
    if not url:
        raise ConfigurationError("no store is named: give a URL such as sqlite:///conversations.db, or SECUREMEM_URL")
    place, in_url = parted(url)
    rest = {name: value for name, value in in_url.items() if name not in _NAMES}
    if rest and not is_server(url):
        raise ConfigurationError(f"the URL has unknown settings: {', '.join(sorted(rest))}")

    def one(name: str) -> str | None:
        candidates = (in_url.get(name), arguments.get(name), os.environ.get(f"SECUREMEM_{name.upper()}"))
        return next((value for value in candidates if value), file.get(name))

    def days(name: str, argument: float | None) -> timedelta | None:
        found = (in_url.get(name), argument, os.environ.get(f"SECUREMEM_{name.upper()}"), file.get(name))
        return _days(name, next((value for value in found if value is not None), None))

    if one("prefix") and not url.startswith("redis"):
        raise ConfigurationError("prefix is for Redis: a store in tables has table_name")
    return Settings(
        url=joined(place, rest),
        keystore=one("keystore"),
        ledger=one("ledger"),
        kms=one("kms"),
        table_name=one("table_name"),
        prefix=one("prefix"),
        replica=one("replica"),
        audit_sink=one("audit_sink"),
        servers=_servers(file.get("servers", {}), url, one("replica")),
        lasting=Lasting(backups=days("backup_days", backup_days), memory=days("memory_days", memory_days)),
    )


def _days(name: str, value: object) -> timedelta | None:
    """Give a setting in days.

    Raises:
        InvalidInputError: no number, or out of range.
    """
    if value is None:
        return None
    try:
        days = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        days = -1.0
    if not 0 <= days <= _MOST_DAYS:
        raise InvalidInputError(f"{name} has to be a number of days, from 0 to {_MOST_DAYS}")
    return timedelta(days=days)


def _servers(found: object, url: str, replica: str | None) -> dict[str, str]:
    """Check the table of further servers.

    Raises:
        ConfigurationError: a name or a URL that cannot be, or settings that do not go together.
    """
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ConfigurationError(f"{SETTINGS_FILE}: [servers] gives a URL to each name")
    for name, place in found.items():
        if not _SERVER_NAME.match(name) or name == HOME:
            raise ConfigurationError(
                f"{SETTINGS_FILE}: a server's name has letters, digits, _ and -, at most 64; and {HOME!r} names the "
                "store's own URL"
            )
        if place.partition("://")[0] not in _TABLES or url.partition("://")[0] not in _TABLES:
            raise ConfigurationError(f"{SETTINGS_FILE}: [servers] is for data in PostgreSQL or SQLite")
    if found and replica is not None:
        raise ConfigurationError("replica is for a store on one server: leave it out where there are [servers]")
    return found


def is_server(url: str) -> bool:
    """Tell whether a URL names a server, by its scheme."""
    return url.partition("://")[0] in SERVERS


def parted(url: str) -> tuple[str, dict[str, str]]:
    """Give a URL without its query, and the query; a name that comes twice counts as it comes last."""
    place, _, query = url.partition("?")
    return place, dict(parse_qsl(query, keep_blank_values=True))


def options_of(url: str, names: frozenset[str]) -> tuple[str, dict[str, str]]:
    """Give a server's URL as its driver takes it, and the options in it that are ours."""
    place, query = parted(url)
    ours = {name: value for name, value in query.items() if name in names}
    return joined(place, {name: value for name, value in query.items() if name not in names}), ours


def joined(place: str, query: Mapping[str, str]) -> str:
    """Give a URL with a query."""
    return f"{place}?{urlencode(query)}" if query else place


def file_of(url: str, scheme: str) -> Path:
    """Give the path in a URL of a file: three slashes before a relative one, four before an absolute one.

    Raises:
        ConfigurationError: it names no file.
    """
    path = url.removeprefix(f"{scheme}://")
    if not path.startswith("/") or len(path) == 1 or path.endswith("/"):
        raise ConfigurationError(f"{scheme} takes {scheme}:///relative/file or {scheme}:////absolute/file")
    if "\0" in path:
        raise ConfigurationError("a file's name has no NUL in it")
    if path == "/:memory:":
        raise ConfigurationError("sqlite:///:memory: is no file: what may be gone with the process lies in memory://")
    # Two slashes at its beginning are one, which SQLite takes for the name of a host.
    return Path(re.sub("^/+", "/", path[1:]))
