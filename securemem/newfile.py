"""New files: refused where one lies already, and given their names only once they are whole and on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from securemem.errors import BackendUnavailableError, ConfigurationError

_BESIDE = ("", "-wal", "-journal")


def check_place(path: Path) -> None:
    """Refuse a place where a backup cannot be written, before anything is done.

    Raises:
        ConfigurationError: the file exists already, or its folder does not.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already: name a new file for the backup")
    if not path.parent.is_dir():
        raise ConfigurationError(f"the folder of {path} does not exist: create it first")


def open_new(path: Path) -> BinaryIO:
    """Make a file, for its owner alone from the first, and give it to be written.

    Raises:
        OSError: one is there already, or none can be made.
    """
    return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb")


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Raise what the system says of a file as an error of ours.

    Raises:
        BackendUnavailableError: the disk is full, or does not answer.
        ConfigurationError: it is not there, or may not be read or written.
    """
    try:
        yield
    except (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError) as exc:
        raise ConfigurationError(f"{path}: {exc.strerror}") from exc
    except OSError as exc:
        raise BackendUnavailableError(f"{path}: {exc.strerror or type(exc).__name__}") from exc


def flush(path: Path) -> None:
    """Let the disk have a file's bytes, or a folder's names."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def check_database_place(place: Path) -> None:
    """Refuse a place at which a database lies, or its log, which would be taken for that of another one.

    Raises:
        ConfigurationError: one does.
    """
    for ending in _BESIDE:
        there = place.with_name(place.name + ending)
        if there.exists():
            raise ConfigurationError(
                f"{there} is there: a backup is restored into a place where nothing is; move it away"
            )


def put_database(copy: Path, place: Path) -> None:
    """Give a whole database, closed and in the same folder, its name; it is there all at once, or not at all.

    Raises:
        ConfigurationError: as `check_database_place`.
    """
    with told(place):
        flush(copy)
        check_database_place(place)
        try:
            place.hardlink_to(copy)  # unlike a renaming, this takes the place of nothing
        except FileExistsError:
            check_database_place(place)
            raise
        copy.unlink()
        flush(place.parent)
