"""What is wrong with a policy whose parts are all of the right types, and what in it is odd.

Two rules that can be true of one record, as specific the one as the other, and want different things that are not a
matter of time, are an error: which of them stands first decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from securemem.errors import PolicyError
from securemem.policy import schema
from securemem.policy.check import leaves, meant
from securemem.policy.decide import RESERVED
from securemem.policy.document import Document, Path
from securemem.policy.durations import MOST_YEARS, Duration
from securemem.policy.rules import ENTITY, PURPOSE, SESSION_TAG, TAG, Branch, Condition, Rule, Rules

_HOUR = 3600
_SPANS = frozenset({"ttl", "min_ttl", "max_ttl", "keep_for", "log_retention", "ack_within", "age", "key", "rows"})
_PARTS = ("defaults", "bounds", "rules", "erasure", "requests", "tests")


def check_durations(document: Document) -> None:
    """Refuse durations that no calendar holds.

    Raises:
        PolicyError: one is over a thousand years.
    """
    for path, value in leaves({part: document.data[part] for part in _PARTS if part in document.data}):
        if not isinstance(value, str) or not (path[-1] in _SPANS or path[-2:-1] == ("targets",)):
            continue
        try:
            Duration.of(value)
        except ValueError:
            raise document.error(path, f"{value!r} is over {MOST_YEARS} years") from None


def check(document: Document, file: schema.File, rules: Rules) -> None:
    """Refuse what cannot be meant.

    Raises:
        PolicyError: the first such thing.
    """
    least, most = rules.min_ttl, rules.max_ttl
    if least is not None and most is not None and least.rough_seconds > most.rough_seconds:
        raise document.error(("bounds", "min_ttl"), f"min_ttl {least} is above max_ttl {most}")
    _check_ids(document, "rules", [rule.id for rule in file.rules])
    _check_ids(document, "erasure.notify", [recipient.id for recipient in file.erasure.notify])
    for number, (written, rule) in enumerate(zip(file.rules, rules.rules, strict=True)):
        _check_rule(document, number, written, rule)
    _check_conflicts(document, rules.rules)
    known = {rule.id for rule in rules.rules} | RESERVED
    for number, case in enumerate(file.tests):
        if case.expect.rule is not None and case.expect.rule not in known:
            hint = meant(case.expect.rule, known)
            raise document.error(
                ("tests", number, "expect", "rule"), f"there is no rule {case.expect.rule!r}", hint=hint
            )


def _check_ids(document: Document, part: str, ids: list[str]) -> None:
    where: dict[str, Path] = {}
    for number, name in enumerate(ids):
        path: Path = (*part.split("."), number, "id")
        if name in where:
            raise document.error(path, f"id {name!r} is given twice", hint=f"it stood in {document.line(where[name])}")
        if part == "rules" and name in RESERVED:
            raise document.error(
                path, f"{name!r} is what decisions call something else", hint="name the rule otherwise"
            )
        where[name] = path


def _check_rule(document: Document, number: int, written: schema.Rule, rule: Rule) -> None:
    path = ("rules", number)
    for empty in _empty(written.match, (*path, "match")):
        raise document.error(empty, "a match has to say something", hint="`defaults` hold for every record")
    for key in ("keep_basis", "while_kept"):
        if getattr(written, key) is not None and rule.keep_for is None:
            raise document.error((*path, key), f"{key} says nothing without keep_for")


def _empty(match: schema.Match, path: Path) -> Iterator[Path]:
    """Give the paths of what says nothing in a match."""
    if match == schema.Match():
        yield path
    for key, parts in (("any", match.any), ("all", match.all)):
        for number, part in enumerate(parts if isinstance(parts, tuple) else ()):
            yield from _empty(part, (*path, key, number))


def _check_conflicts(document: Document, rules: tuple[Rule, ...]) -> None:
    for number, rule in enumerate(rules):
        for other in range(number):
            found = _conflict(rules[other], rule)
            if found is not None:
                line, before = document.line(("rules", number)), document.line(("rules", other))
                raise document.error(
                    ("rules", number),
                    f"rule {rule.id!r} ({line}) and rule {rules[other].id!r} ({before}) can be true of the "
                    f"same record, and differ in {found}",
                    hint="make one of them more specific",
                )


def _conflict(one: Rule, other: Rule) -> str | None:
    """Give what two rules that may tie disagree about; None where they do not."""
    differing = [
        key
        for key in ("purpose", "while_kept")
        if None not in (getattr(one, key), getattr(other, key)) and getattr(one, key) != getattr(other, key)
    ]
    both = one.on_write.keys() & other.on_write.keys()
    differing += [f"on_write of {entity}" for entity in sorted(both) if one.on_write[entity] != other.on_write[entity]]
    if not differing or not _may_tie(one, other):
        return None
    return differing[0]


def _may_tie(one: Rule, other: Rule) -> bool:
    """Tell whether there can be a record for which two rules are equally specific.

    If there is one, what is true of it holds a branch of each, equally long and the longest of its rule; then the two
    tie for what these branches alone make true.
    """
    return any(
        one.specificity(facts) == other.specificity(facts)
        for mine in one.branches
        for theirs in other.branches
        if len(mine) == len(theirs) and is_possible(facts := _implied(mine | theirs))
    )


def _implied(branch: Branch) -> Branch:
    """Give what is true where a branch is: a session's tag is a tag of its messages."""
    return branch | {Condition(TAG, each.word) for each in branch if each.kind == SESSION_TAG}


def is_possible(branch: Branch) -> bool:
    """Tell whether all of a branch can be true at once: a record has one purpose."""
    return len({condition.word for condition in branch if condition.kind == PURPOSE}) <= 1


def warnings(document: Document, file: schema.File, rules: Rules) -> list[PolicyError]:
    """Give what is allowed and probably not meant."""
    looked_for = set(file.pii.entities) if file.pii is not None else set()
    looked_for |= {entity for rule in rules.rules for entity in rule.on_write}
    found = [*_beyond(document, ("defaults", "ttl"), rules.ttl, rules)]
    for number, rule in enumerate(rules.rules):
        found += _odd(document, ("rules", number), rule, rules, looked_for)
    roles = set(file.access.roles) if file.access is not None else set()
    for purpose, actors in (file.access.purposes if file.access is not None else {}).items():
        strangers = sorted(actor for actor in actors if roles and actor.partition(":")[0] not in roles)
        if strangers:
            at = ("access", "purposes", purpose)
            found.append(document.error(at, f"{strangers[0]!r} is of no role", hint="it has no rights"))
    return found


def _odd(document: Document, path: Path, rule: Rule, rules: Rules, looked_for: set[str]) -> Iterator[PolicyError]:
    possible = [branch for branch in rule.branches if is_possible(branch)]
    missing = {each.word for branch in possible for each in branch if each.kind == ENTITY} - looked_for
    if not any(missing.isdisjoint(condition.word for condition in branch) for branch in possible):
        why = f"{min(missing)} is not among pii.entities" if missing else "a record has one purpose"
        yield document.error((*path, "match"), f"rule {rule.id!r} can never match", hint=why)
    elif missing:
        yield document.error((*path, "match"), f"{min(missing)} is never found", hint="it is not among pii.entities")
    if rule.keep_for is not None and rule.basis is None:
        yield document.error((*path, "keep_for"), "without keep_basis an erasure deletes all the same")
    if rule.keep_for is not None and rule.ttl is None and rules.ttl is None and rules.max_ttl is None:
        yield document.error(
            (*path, "keep_for"), "is how long at least; nothing says how long at most", hint="say `ttl`"
        )
    yield from _beyond(document, (*path, "ttl"), rule.ttl, rules)


def _beyond(document: Document, path: Path, ttl: Duration | None, rules: Rules) -> Iterator[PolicyError]:
    for bound, key, sign in ((rules.min_ttl, "min_ttl", -1), (rules.max_ttl, "max_ttl", 1)):
        if ttl is not None and bound is not None and (ttl.rough_seconds - bound.rough_seconds) * sign > 0:
            yield document.error(path, f"{ttl} is beyond {key}", hint=f"it is taken as {bound}")
    least = max((each.rough_seconds for each in (ttl, rules.min_ttl) if each is not None), default=0)
    if ttl is not None and least < _HOUR:
        why = "only the hour is known in which a record came, and its life is reckoned from the beginning of that"
        yield document.error(path, f"after {ttl} a record may be gone as soon as it is written", hint=why)
