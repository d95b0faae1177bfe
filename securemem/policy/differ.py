"""What has changed between two policies, in the words of whoever has to answer for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from securemem.policy.durations import Duration
from securemem.policy.model import Policy
from securemem.policy.rules import Branch, Rule, Rules

TTL_SHORTENED, KEEP_SHORTENED, RULE_REMOVED = "ttl_shortened", "keep_shortened", "rule_removed"


class Difference(NamedTuple):
    """One difference.

    Attributes:
        kind: `ttl_shortened`, `keep_shortened`, `rule_removed`, or what else has changed.
        what: where.
        before: what stood there; empty if nothing did.
        after: what stands there now.
    """

    kind: str
    what: str
    before: str
    after: str


def differences(old: Policy, new: Policy) -> list[Difference]:
    """Give what has changed."""
    both = (old.rules, new.rules)
    found = [*_ttl("defaults.ttl", old.rules.ttl, new.rules.ttl, both)]
    found += _ttl("bounds.max_ttl", old.rules.max_ttl, new.rules.max_ttl)
    found += _span("bounds.min_ttl", old.rules.min_ttl, new.rules.min_ttl)
    found += _plain(
        "defaults.on_unclassified",
        old.rules.quarantines,
        new.rules.quarantines,
        kind=TTL_SHORTENED if old.rules.quarantines else "changed",
    )
    before = {rule.id: rule for rule in old.rules.rules}
    after = {rule.id: rule for rule in new.rules.rules}
    for name in [*before, *(name for name in after if name not in before)]:
        found += _rule(name, before.get(name), after.get(name), both)
    found += _plain("pii", old.pii, new.pii)
    found += _plain("access", old.access, new.access)
    found += _plain("safety", old.safety, new.safety)
    return found


def _rule(name: str, old: Rule | None, new: Rule | None, policies: tuple[Rules, Rules]) -> Iterator[Difference]:
    if new is None:
        yield Difference(RULE_REMOVED, f"rule {name}", "there", "")
    elif old is None:
        # A rule that ends what nothing ended, or ends it sooner, shortens lives as much as a changed one.
        yield Difference(TTL_SHORTENED if new.ttl is not None else "rule_added", f"rule {name}", "", "there")
    else:
        yield from _match(f"rule {name}: match", old, new)
        yield from _ttl(f"rule {name}: ttl", old.ttl, new.ttl, policies)
        yield from _span(f"rule {name}: keep_for", old.keep_for, new.keep_for)
        # Without its basis a keep stands in no erasure's way.
        yield from _plain(f"rule {name}: basis", old.basis, new.basis, kind="changed" if new.basis else KEEP_SHORTENED)
        for key in ("while_kept", "purpose", "on_write"):
            yield from _plain(f"rule {name}: {key}", getattr(old, key), getattr(new, key))


def _match(what: str, old: Rule, new: Rule) -> Iterator[Difference]:
    """Compare which records a rule is for: others than before may end sooner by it, or are no longer kept."""
    if old.branches != new.branches:
        kind = TTL_SHORTENED if old.ttl or new.ttl else KEEP_SHORTENED if old.keep_for else "changed"
        yield Difference(kind, what, _worded(old.branches), _worded(new.branches))


def _worded(branches: tuple[Branch, ...]) -> str:
    return " or ".join(" and ".join(f"{each.kind} {each.word}" for each in sorted(branch)) for branch in branches)


def _ttl(
    what: str, old: Duration | None, new: Duration | None, policies: tuple[Rules, Rules] = (Rules(), Rules())
) -> Iterator[Difference]:
    """Compare how long something lasts at most: where a rule does not say it, the defaults do, or the bounds."""
    if not _same(old, new):
        before = old or policies[0].ttl or policies[0].max_ttl
        after = new or policies[1].ttl or policies[1].max_ttl
        shorter = after is not None and (before is None or after.rough_seconds < before.rough_seconds)
        yield Difference(TTL_SHORTENED if shorter else "ttl_lengthened", what, _shown(old), _shown(new))


def _span(what: str, old: Duration | None, new: Duration | None) -> Iterator[Difference]:
    """Compare how long something lasts at least."""
    if not _same(old, new):
        shorter = old is not None and (new is None or new.rough_seconds < old.rough_seconds)
        yield Difference(KEEP_SHORTENED if shorter else "keep_lengthened", what, _shown(old), _shown(new))


def _plain(what: str, old: object, new: object, *, kind: str = "changed") -> Iterator[Difference]:
    if old != new:
        yield Difference(kind, what, "", "")


def _same(one: Duration | None, other: Duration | None) -> bool:
    """Tell whether two durations are equally long, however they are written: 1d is 24h, and 1y is 12mo."""
    return one == other or (one is not None and other is not None and one[:2] == other[:2])


def _shown(duration: Duration | None) -> str:
    return str(duration) if duration is not None else "none"
