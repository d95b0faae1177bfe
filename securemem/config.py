"""Settings: from the URL, arguments, `SECUREMEM_*` variables and `securemem.toml`, in that order of strength."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from securemem.errors import ConfigurationError

SETTINGS_FILE = "securemem.toml"
_NAMES = frozenset({"keystore", "ledger", "kms", "table_name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the three stores and the KMS are.

    Attributes:
        url: the data store, without its query.
        keystore: its URL, or None for the place beside the data.
        ledger: likewise.
        kms: likewise.
        table_name: the data's table, or None for the default.
    """

    url: str
    keystore: str | None
    ledger: str | None
    kms: str | None
    table_name: str | None


def _from_file() -> dict[str, Any]:
    path = Path(SETTINGS_FILE)
    if not path.is_file():
        return {}
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise ConfigurationError(f"{SETTINGS_FILE} cannot be read: {type(exc).__name__}; correct or remove it") from exc
    unknown = settings.keys() - _NAMES - {"url"}
    if unknown:
        raise ConfigurationError(f"{SETTINGS_FILE} has unknown settings: {', '.join(sorted(unknown))}")
    return settings


def resolve(url: str | None, **arguments: str | None) -> Settings:
    """Put the settings together.

    Args:
        url: the data store's URL, or None to take it from `SECUREMEM_URL` or the file.
        arguments: `keystore`, `ledger`, `kms` and `table_name`, None where not given.

    Raises:
        ConfigurationError: no URL anywhere, or an unknown setting.
    """
    file = _from_file()
    url = url or os.environ.get("SECUREMEM_URL") or file.get("url")
    if not url:
        raise ConfigurationError("no store is named: give a URL such as sqlite:///conversations.db, or SECUREMEM_URL")
    place, _, query = url.partition("?")
    in_url = dict(parse_qsl(query, keep_blank_values=True))
    if in_url.keys() - _NAMES:
        raise ConfigurationError(f"the URL has unknown settings: {', '.join(sorted(in_url.keys() - _NAMES))}")

    def one(name: str) -> str | None:
        candidates = (in_url.get(name), arguments.get(name), os.environ.get(f"SECUREMEM_{name.upper()}"))
        return next((value for value in candidates if value), file.get(name))

    return Settings(
        url=place, keystore=one("keystore"), ledger=one("ledger"), kms=one("kms"), table_name=one("table_name")
    )


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
    return Path(path[1:])
