"""Loads a policy from its file, with what that extends and what is different in an environment."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from securemem.errors import PolicyError
from securemem.policy import examine, schema
from securemem.policy.check import convert, meant, shown
from securemem.policy.document import MAX_BYTES, Document, read
from securemem.policy.durations import Duration
from securemem.policy.model import PSEUDONYMISE, Policy
from securemem.policy.rules import branches_of, make_rules

TREATMENTS = ("keep", "redact", "mask", "hash", PSEUDONYMISE, "generalise", "block")
NEVER_GIVEN_BACK = frozenset({"SECRET"})
MOST_EXTENDED = 8
MOST_ENVIRONMENTS = 32

_NOT_IN_ENVIRONMENTS = frozenset({"apiVersion", "kind", "extends", "environments"})
_ENTITY = re.compile(r"[A-Z][A-Z0-9_]{0,63}\Z")


class Loaded(NamedTuple):
    """A policy, and what somebody should know of it who wrote it.

    Attributes:
        policy: ready to be carried out.
        file: what stands in it, and
        document: where.
        warnings: what is allowed and probably not meant, each with its place.
    """

    policy: Policy
    file: schema.File
    document: Document
    warnings: list[PolicyError]


def load(path: Path, *, environment: str | None = None) -> Policy:
    """Load a policy.

    Args:
        path: of its file.
        environment: the one of its `environments` that it is loaded for.

    Raises:
        PolicyError: it cannot be read, or something in it is wrong: the error says where.
    """
    return load_whole(path, environment=environment).policy


def load_whole(path: Path, *, environment: str | None = None) -> Loaded:
    """Load a policy, and say what is odd about it.

    Raises:
        PolicyError: as `load`.
    """
    digest = hashlib.sha256()
    document = _read(path, digest, 0)
    return _finish(document, digest, environment)


def parse(text: str, file: str, sha256: str) -> Policy:
    """Give the policy that a text is, as `load` does; it extends nothing.

    Args:
        text: of YAML.
        file: its name, for errors.
        sha256: of its bytes, in hex.

    Raises:
        PolicyError: as `load`; or it extends something.
    """
    document = read(text, file)
    if _extended(document) is not None:
        raise document.error(("extends",), "a text extends nothing", hint="load it from a file")
    return replace(_finish(document, hashlib.sha256(), None).policy, sha256=sha256)


def _read(path: Path, digest: hashlib._Hash, depth: int) -> Document:
    """Read a file over what it extends."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        # One that is too long is refused by its length, whatever stands where it is cut off.
        text = raw.decode(errors="strict" if len(raw) <= MAX_BYTES else "replace")
    except UnicodeDecodeError:
        raise PolicyError("is not UTF-8", file=str(path)) from None
    except (OSError, ValueError) as exc:
        raise PolicyError(f"cannot be read ({type(exc).__name__})", file=str(path)) from None
    document = read(text, str(path))
    # No file holds a NUL, so that no two sets of files are the same bytes.
    digest.update(b"\0" + raw if depth else raw)
    if depth and not isinstance(document.data, dict):
        raise document.error((), "is no policy that another could extend")
    base = _extended(document)
    if base is None:
        return document
    if depth >= MOST_EXTENDED:
        raise document.error(("extends",), f"extends more than {MOST_EXTENDED} files, one the other")
    return document.over(_read(_found(document, base, path), digest, depth + 1))


def _extended(document: Document) -> str | None:
    """Give what a document extends; None for nothing, and for what the types refuse later."""
    base = document.data.get("extends") if isinstance(document.data, dict) else None
    return base if isinstance(base, str) and base else None


def _found(document: Document, base: str, path: Path) -> Path:
    """Give the file of the policy that another extends."""
    from securemem.policy.shipped import folder, names  # noqa: PLC0415  (it loads files by this)

    if base in names():
        return folder() / f"{base}.yaml"
    beside = path.parent / base
    try:
        is_there = beside.is_file()
    except OSError:
        is_there = False
    if not is_there:
        known = [*names(), *(each.name for each in path.parent.glob("*.yaml"))]
        raise document.error(("extends",), f"there is no policy {shown(base)}", hint=meant(base, known))
    return beside


def _finish(document: Document, digest: hashlib._Hash, environment: str | None) -> Loaded:
    """Check a document as it stands, and as it is in each environment; give what it is in the one that is asked for."""
    loaded = _checked(document)
    environments = list(loaded.file.environments)
    if len(environments) > MOST_ENVIRONMENTS:
        raise document.error(("environments",), f"there are more than {MOST_ENVIRONMENTS} environments")
    every = {name: _checked(_overlaid(document, name)) for name in environments}
    if environment is not None:
        if environment not in every:
            message = f"there is no environment {shown(environment)}"
            raise document.error(("environments",), message, hint=meant(environment, every))
        digest.update(b"\0" + environment.encode("utf-8", "replace"))
        loaded = every[environment]
    return loaded._replace(policy=replace(loaded.policy, sha256=digest.hexdigest()))


def _overlaid(document: Document, environment: str) -> Document:
    """Give a document with what is different in an environment."""
    path = ("environments", environment)
    for key in _NOT_IN_ENVIRONMENTS.intersection(document.data["environments"][environment]):
        raise document.error((*path, key), f"{key!r} cannot differ between environments")
    return document.part(path).over(document)


def _checked(document: Document) -> Loaded:
    """Check a document, and make the policy that it is."""
    file = convert(document)
    if file.pii is not None:
        _check_entities(document, file.pii)
    _check_treatments(document, file)
    examine.check_durations(document)
    try:
        rules = make_rules(file)
    except ValueError:
        at = _with_most_branches(file)
        raise document.error(at, "a match has too many ways to be true", hint="part it into rules") from None
    examine.check(document, file, rules)
    targets, log = file.erasure.targets, file.requests.log_retention
    backups = targets.backups
    policy = Policy(
        file.metadata.name,
        "",
        file.pii,
        file.access,
        rules,
        file.safety,
        file.erasure.notify,
        -(-Duration.of(backups).rough_seconds // 86_400) if backups is not None else None,
        file.requests.regimes,
        Duration.of(log) if log is not None else None,
        Duration.of(targets.key) if targets.key is not None else None,
    )
    return Loaded(policy, file, document, examine.warnings(document, file, rules))


def _with_most_branches(file: schema.File) -> tuple[str | int, ...]:
    """Give the path of the match that has too many ways to be true; of the rules where only all together have."""
    for number, rule in enumerate(file.rules):
        try:
            branches_of(rule.match)
        except ValueError:
            return ("rules", number, "match")
    return ("rules",)


def _check_entities(document: Document, pii: schema.Pii) -> None:
    for entity, treatment in pii.entities.items():
        at = ("pii", "entities", entity)
        if not _ENTITY.match(entity):
            raise document.error(at, f"{entity!r} is no name of an entity", hint="such as EMAIL_ADDRESS")
        _check_treatment(document, at, entity, treatment)


def _check_treatments(document: Document, file: schema.File) -> None:
    for number, rule in enumerate(file.rules):
        seen: dict[str, str] = {}
        for treatment, entities in rule.on_write.items():
            at = ("rules", number, "on_write", treatment)
            for place, entity in enumerate(entities):
                if not _ENTITY.match(entity):
                    raise document.error((*at, place), f"{entity!r} is no name of an entity", hint="such as URL")
                _check_treatment(document, at, entity, treatment)
                if entity in seen:
                    raise document.error((*at, place), f"{entity} has a treatment here already: {seen[entity]}")
                seen[entity] = treatment
            if file.pii is None:
                raise document.error(at, "without `pii` nothing is looked for", hint="say `pii: {entities: {…}}`")


def _check_treatment(document: Document, at: tuple[str | int, ...], entity: str, treatment: str) -> None:
    if treatment not in TREATMENTS:
        hint = meant(treatment, TREATMENTS) or f"one of {', '.join(TREATMENTS)}"
        raise document.error(at, f"{treatment!r} is no treatment", hint=hint)
    if treatment == PSEUDONYMISE and entity in NEVER_GIVEN_BACK:
        raise document.error(at, f"a {entity} is never given back", hint="redact, mask, hash or block it")
