"""What the URL of a PostgreSQL database says of where it is, as the driver takes it.

Hosts, ports, database and user stand before the query or in it (`host`, `port`, `dbname` or `database`, `user`); what
stands before it counts, and with hosts of its own no port of the query does.
"""

from __future__ import annotations

import os
import re
from itertools import cycle
from typing import NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from securemem.errors import ConfigurationError

_PORT, _USUAL_PORT = re.compile(r":\d+\Z"), 5432
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_HOST, _PREFERRED = re.compile(r"(^|&)(host=|port=)"), re.compile(r"(^|&)target_session_attrs=prefer-standby")


class Whereabouts(NamedTuple):
    """Where a database is: hosts with a comma between, each with its port where one is said; "" for the default's."""

    hosts: str
    database: str
    user: str


def whereabouts(url: str) -> Whereabouts:
    """Give what a URL says of where its database is.

    Raises:
        ConfigurationError: it cannot be read, for a special character in the password perhaps.
    """
    parts = _parts(url)
    login, _, hosts = parts.netloc.rpartition("@")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = unquote(parts.path.strip("/")) if parts.path else query.get("dbname", query.get("database", ""))
    return Whereabouts(
        unquote(hosts) or _hosts_of(query), database, unquote(login.partition(":")[0]) or query.get("user", "")
    )


def place_of(url: str) -> str:
    """Give host, port and database of a URL, without user and password.

    Raises:
        ConfigurationError: as `whereabouts`.
    """
    hosts, database, _ = whereabouts(url)
    return f"{hosts or 'the default host'}{'/' if database else ''}{database}"


def by_host(url: str) -> list[str]:
    """Give a URL of several hosts as one for each; as it is where the driver has to see them together.

    Raises:
        ConfigurationError: as `place_of`.
    """
    parts = _parts(url)
    login, at, hosts = parts.netloc.rpartition("@")
    if _PREFERRED.search(parts.query):
        return [url]
    if not hosts:
        return _by_host_of_query(parts) or [url]
    if "," not in hosts or _HOST.search(parts.query):
        return [url]
    return [parts._replace(netloc=f"{login}{at}{host}").geturl() for host in hosts.split(",")]


def _by_host_of_query(parts: SplitResult) -> list[str]:
    """Give a URL of several hosts in its query as one for each; nothing where there are not several."""
    query = dict(parse_qsl(parts.query))
    hosts, ports = query.get("host", "").split(","), query.get("port", "").split(",")
    if len(hosts) == 1 or len(ports) not in (1, len(hosts)):
        return []
    rest = [each for each in parts.query.split("&") if not _HOST.match(each)]
    found = []
    for host, port in zip(hosts, cycle(ports), strict=False):
        own = [f"host={quote(host)}", *([f"port={port}"] if port else ())]
        found.append(parts._replace(query="&".join([*own, *rest])).geturl())
    return found


def missing_file(url: str) -> str | None:
    """Give the parameter of a URL that names a file which is not there, or cannot be read; None if none does."""
    found = parse_qsl(_parts(url).query)
    return next((name for name, path in found if name in _FILES and not os.access(path, os.R_OK)), None)


def are_one(one: str, other: str) -> bool:
    """Tell whether two URLs name one database, by what they say: hosts, ports and the database.

    Raises:
        ConfigurationError: as `whereabouts`.
    """
    here, there = _database_of(one), _database_of(other)
    return here[1] == there[1] and bool(here[0] & there[0])


def _database_of(url: str) -> tuple[set[str], str]:
    """Give the hosts of a URL, each with its port, and the database, which has the user's name if it has none."""
    hosts, database, user = whereabouts(url)
    ported = {host if _PORT.search(host) else f"{host}:{_USUAL_PORT}" for host in hosts.lower().split(",")}
    return ported, database or user


def _hosts_of(query: dict[str, str]) -> str:
    """Give the hosts of a query; its ports are for each of them, or one for all, and count more than their own."""
    hosts, ports = query.get("host", ""), query.get("port", "")
    if not ports:
        return hosts
    pairs = zip(hosts.split(","), cycle(ports.split(",")), strict=False)
    return ",".join(f"{_PORT.sub('', host)}:{port}" for host, port in pairs)


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
