"""The policies that come with the package, by name. This version carries out `plain`, and refuses every other."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from securemem.errors import ConfigurationError

PLAIN = "plain"
_FOLDERS = (Path(__file__).parent / "shipped", Path(__file__).parents[2] / "policies")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy in force.

    Attributes:
        name: as in its metadata.
        sha256: of its file, in hex, for receipts.
    """

    name: str
    sha256: str


def folder() -> Path:
    """Give the folder of the shipped policies: in the wheel, or beside the package in a checkout."""
    return next(place for place in _FOLDERS if (place / f"{PLAIN}.yaml").exists())


def resolve(policy: str | Policy | None) -> Policy:
    """Give a policy by its name; `plain` where none is named.

    Raises:
        ConfigurationError: a policy that this version cannot carry out; nothing is stored under half of one.
    """
    if isinstance(policy, Policy):
        return policy
    if policy not in (None, PLAIN):
        raise ConfigurationError(f"policy {policy!r} is not one that this version carries out: name 'plain'")
    return Policy(PLAIN, hashlib.sha256((folder() / f"{PLAIN}.yaml").read_bytes()).hexdigest())
