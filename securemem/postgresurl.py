"""What the URL of a PostgreSQL database says of where it is."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote, urlsplit

from securemem.errors import ConfigurationError

_PORT, _USUAL_PORT = re.compile(r":\d+\Z"), 5432


def place_of(url: str) -> str:
    """Give host, port and database of a URL, without user and password.

    Raises:
        ConfigurationError: it cannot be read, for a special character in the password perhaps.
    """
    parts = _parts(url)
    return f"{parts.netloc.rpartition('@')[2] or 'the default host'}{parts.path}"


def are_one(one: str, other: str) -> bool:
    """Tell whether two URLs name one database, by what they say: hosts, ports and the database.

    Raises:
        ConfigurationError: as `place_of`.
    """
    here, there = _database_of(one), _database_of(other)
    return here[1] == there[1] and bool(here[0] & there[0])


def _database_of(url: str) -> tuple[set[str], str]:
    """Give the hosts of a URL, each with its port, and the database, which has the user's name if it has none."""
    parts = _parts(url)
    login, _, hosts = parts.netloc.rpartition("@")
    ported = {host if _PORT.search(host) else f"{host}:{_USUAL_PORT}" for host in hosts.lower().split(",")}
    return ported, unquote(parts.path.strip("/") or login.partition(":")[0])


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port if "," not in parts.netloc else None
    except ValueError:
        parts = None
    if parts is None or "@" in parts.path + parts.query + parts.fragment:
        # From nothing: what urllib says repeats a part of the URL, which may be of the password.
        raise ConfigurationError(
            "the URL of the server cannot be read: write special characters of user and password as %2F, %3F, %23, %40"
        ) from None
    return parts
