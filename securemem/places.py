"""Where keystore, ledger and KEK lie if nobody says: beside the data's file, or on this machine for data on a server.

Under `SECUREMEM_HOME`, or the platform's folder for a user's data, every deployment on a server has a folder of its
own, for its owner alone. That is right for one machine, and said so.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from securemem.config import Settings, file_of, is_server, parted
from securemem.errors import ConfigurationError
from securemem.postgresurl import whereabouts

HOME_VARIABLE = "SECUREMEM_HOME"
_PORTS = {"redis": 6379, "redis+cluster": 6379, "redis+sentinel": 26379, "postgresql": 5432}
_SAME = {
    "rediss": "redis",
    "rediss+cluster": "redis+cluster",
    "rediss+sentinel": "redis+sentinel",
    "postgres": "postgresql",
}
_UNPLAIN = re.compile(r"[^A-Za-z0-9.-]+")
_said: set[Path] = set()


def beside(settings: Settings, ending: str) -> Path | None:
    """Give the file of this ending that goes with the data by default; None where the data is in memory.

    Args:
        settings: that name the data.
        ending: ".keys.db", ".ledger.db", ".kek", or "" for a file of data itself.
    """
    if settings.url.startswith("sqlite://"):
        data = file_of(settings.url, "sqlite")
        return data.with_name(f"{data.name.removesuffix('.db')}{ending}")
    if is_server(settings.url) and ending:
        return home(settings) / f"securemem{ending}"
    return None


def _hosts(scheme: str, netloc: str) -> str:
    """Give hosts with their ports, which a URL may leave out."""
    port = _PORTS.get(scheme, 0)
    each = [host or "localhost" for host in netloc.split(",")]
    return ",".join(host if ":" in host.rpartition("]")[2] else f"{host}:{port}" for host in each)


def home(settings: Settings) -> Path:
    """Give the folder of a deployment whose data is on a server, however its URL says which."""
    place, query = parted(settings.url)
    try:
        parts = urlsplit(place)
        scheme = _SAME.get(parts.scheme, parts.scheme)
        hosts, database = parts.netloc.rpartition("@")[2], parts.path.strip("/")
        if scheme == "postgresql":
            hosts, database, user = whereabouts(settings.url)
            database = database or user
        hosts = _hosts(scheme, hosts)
    except ValueError as exc:
        raise ConfigurationError("the URL of the data cannot be read") from exc
    within = [query.get("schema", ""), query.get("db", ""), settings.prefix or ""]
    if scheme.startswith("redis"):
        within.append(settings.table_name or "")
        database = database or "0"
    name = "-".join(part for part in (scheme, hosts, database, *within) if part)
    digest = hashlib.sha256("\0".join((scheme, hosts, database, *within)).encode()).hexdigest()[:8]
    root = os.environ.get(HOME_VARIABLE)
    if root:
        folder = Path(root)
    else:
        from platformdirs import user_data_path  # noqa: PLC0415  (only where data is on a server)

        folder = user_data_path("securemem")
    return folder / f"{_UNPLAIN.sub('-', name)[:80].strip('-')}-{digest}"


def make_home(settings: Settings, *, create: bool) -> None:
    """Make the folder of a deployment on a server, if anything of it lies there by default; and say so once.

    Args:
        settings: that name the stores.
        create: whether a deployment may be begun.

    Raises:
        ConfigurationError: it cannot be made.
    """
    warning = advice(settings)
    if warning is None:
        return
    folder = home(settings)
    if not create and not folder.is_dir():
        raise ConfigurationError(
            "there is no store here that this machine has keys of: `securemem init` makes one, or the URL names "
            "another place"
        )
    try:
        if create:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"{folder} cannot be made ({exc.strerror}): set {HOME_VARIABLE}") from exc
    if folder not in _said:
        _said.add(folder)
        logging.getLogger("securemem").warning("%s", warning)


def advice(settings: Settings) -> str | None:
    """Say what of a deployment on a server lies on this machine alone; None where nothing does."""
    given = {"keystore": settings.keystore, "ledger": settings.ledger, "kek": settings.kms}
    here = [name for name in given if given[name] is None]
    if not here or not is_server(settings.url):
        return None
    return (
        f"{', '.join(here)} of this store lie in {home(settings)}, on this machine alone: name them by URL "
        "before a second machine opens the store"
    )
