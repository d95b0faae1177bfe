"""The policies that come with the package, by name.

The two that need no more than a name are kept here as they stand in their files, so that opening a store under one of
them reads no YAML; a test holds them equal.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from securemem.errors import ConfigurationError
from securemem.policy.model import Policy
from securemem.policy.schema import Pii

DEFAULT = "default"
AT_HAND = {
    "plain": Policy("plain", ""),
    DEFAULT: Policy(DEFAULT, "", Pii(engine="patterns", entities={"CREDIT_CARD": "redact", "SECRET": "redact"})),
}
_FOLDERS = (Path(__file__).parent / "shipped", Path(__file__).parents[2] / "policies")


def folder() -> Path:
    """Give the folder of the shipped policies: in the wheel, or beside the package in a checkout."""
    return next(place for place in _FOLDERS if (place / f"{DEFAULT}.yaml").exists())


def names() -> list[str]:
    """Give the names of the shipped policies."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def resolve(policy: str | Path | Policy | None) -> Policy:
    """Give the policy that a store is opened under, by its name or its file.

    Where none is named it is the one that `SECUREMEM_POLICY` names, or `default`.

    Raises:
        ConfigurationError: there is none of this name, or it is no name.
        PolicyError: its file is wrong.
    """
    if isinstance(policy, Policy):
        return policy
    if policy is not None and not isinstance(policy, str | os.PathLike):
        raise ConfigurationError("policy is the name of one, or the path of its file")
    return find(policy if policy is not None else os.environ.get("SECUREMEM_POLICY") or DEFAULT)


def find(policy: str | Path) -> Policy:
    """Give a policy by its name or its file, for the environment that `SECUREMEM_ENVIRONMENT` names.

    Raises:
        ConfigurationError: there is none.
        PolicyError: its file is wrong.
    """
    name = str(policy)
    if name in AT_HAND:
        return replace(AT_HAND[name], sha256=hashlib.sha256((folder() / f"{name}.yaml").read_bytes()).hexdigest())
    from securemem.policy.load import load, load_whole  # noqa: PLC0415  (its YAML takes longer than opening a store)

    path = file_of(policy)
    loaded = load_whole(path)
    environment = os.environ.get("SECUREMEM_ENVIRONMENT")
    # A policy that names none is the same in all of them.
    return load(path, environment=environment) if environment and loaded.file.environments else loaded.policy


def file_of(policy: str | Path) -> Path:
    """Give the file of a policy that is named, or is a file.

    Raises:
        ConfigurationError: there is none.
    """
    name = str(policy)
    if name and "/" not in name and name in names():
        return folder() / f"{name}.yaml"
    try:
        is_there = bool(name) and Path(policy).is_file()
    except OSError:  # a name that no file can have
        is_there = False
    if not is_there:
        raise ConfigurationError(f"there is no policy of this name: name a file, or one of {', '.join(names())}")
    return Path(policy)
