"""Loads a policy from its file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from securemem.errors import PolicyError
from securemem.policy import schema
from securemem.policy.check import convert, meant
from securemem.policy.document import Document, read
from securemem.policy.model import PSEUDONYMISE, Policy

TREATMENTS = ("keep", "redact", "mask", "hash", PSEUDONYMISE, "generalise", "block")
NEVER_GIVEN_BACK = frozenset({"SECRET"})

_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")


def load(path: Path) -> Policy:
    """Load a policy.

    Raises:
        PolicyError: it cannot be read, or something in it is wrong: the error says where.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode()
    except OSError as exc:
        raise PolicyError(f"cannot be read ({type(exc).__name__})", file=str(path)) from None
    except UnicodeDecodeError:
        raise PolicyError("is not UTF-8", file=str(path)) from None
    return parse(text, str(path), hashlib.sha256(raw).hexdigest())


def parse(text: str, file: str, sha256: str) -> Policy:
    """Give the policy that a text is, as `load` does.

    Args:
        text: of YAML.
        file: its name, for errors.
        sha256: of its bytes, in hex.
    """
    document = read(text, file)
    found = convert(document)
    if found.pii is not None:
        _check_entities(document, found.pii)
    not_carried_out = tuple(part for part in schema.NOT_CARRIED_OUT if getattr(found, part) is not None)
    return Policy(found.metadata.name, sha256, found.pii, found.access, not_carried_out)


def _check_entities(document: Document, pii: schema.Pii) -> None:
    for entity, treatment in pii.entities.items():
        at = ("pii", "entities", entity)
        if not _ENTITY.match(entity):
            raise document.error(at, f"{entity!r} is no name of an entity", hint="such as EMAIL_ADDRESS")
        if treatment not in TREATMENTS:
            hint = meant(treatment, TREATMENTS) or f"one of {', '.join(TREATMENTS)}"
            raise document.error(at, f"{treatment!r} is no treatment", hint=hint)
        if treatment == PSEUDONYMISE and entity in NEVER_GIVEN_BACK:
            raise document.error(at, f"a {entity} is never given back", hint="redact, mask, hash or block it")
