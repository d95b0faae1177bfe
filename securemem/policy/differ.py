"""What has changed between two policies, in the words of whoever has to answer for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from securemem.policy.durations import Duration
from securemem.policy.model import Policy
from securemem.policy.rules import Rule

TTL_SHORTENED, RULE_REMOVED = "ttl_shortened", "rule_removed"


class Difference(NamedTuple):
    """One difference.

    Attributes:
        kind: `ttl_shortened`, `rule_removed`, or what else has changed.
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
    found = [*_ttl("defaults.ttl", old.rules.ttl, new.rules.ttl)]
    found += _ttl("bounds.max_ttl", old.rules.max_ttl, new.rules.max_ttl)
    found += _span("bounds.min_ttl", old.rules.min_ttl, new.rules.min_ttl)
    found += _plain("defaults.on_unclassified", old.rules.quarantines, new.rules.quarantines)
    before = {rule.id: rule for rule in old.rules.rules}
    after = {rule.id: rule for rule in new.rules.rules}
    for name in [*before, *(name for name in after if name not in before)]:
        found += _rule(name, before.get(name), after.get(name))
    found += _plain("pii", old.pii, new.pii)
    found += _plain("access", old.access, new.access)
    found += _plain("safety", old.safety, new.safety)
    return found


def _rule(name: str, old: Rule | None, new: Rule | None) -> Iterator[Difference]:
    if new is None:
        yield Difference(RULE_REMOVED, f"rule {name}", "there", "")
    elif old is None:
        # A rule that ends what nothing ended, or ends it sooner, shortens lives as much as a changed one.
        yield Difference(TTL_SHORTENED if new.ttl is not None else "rule_added", f"rule {name}", "", "there")
    else:
        yield from _ttl(f"rule {name}: ttl", old.ttl, new.ttl)
        yield from _span(f"rule {name}: keep_for", old.keep_for, new.keep_for)
        for key in ("branches", "basis", "while_kept", "purpose", "on_write"):
            yield from _plain(
                f"rule {name}: {'match' if key == 'branches' else key}", getattr(old, key), getattr(new, key)
            )


def _ttl(what: str, old: Duration | None, new: Duration | None) -> Iterator[Difference]:
    if old != new:
        shorter = new is not None and (old is None or new.rough_seconds < old.rough_seconds)
        yield Difference(TTL_SHORTENED if shorter else "ttl_lengthened", what, _shown(old), _shown(new))


def _span(what: str, old: Duration | None, new: Duration | None) -> Iterator[Difference]:
    """Compare how long something lasts at least."""
    if old != new:
        shorter = old is not None and (new is None or new.rough_seconds < old.rough_seconds)
        yield Difference("keep_shortened" if shorter else "keep_lengthened", what, _shown(old), _shown(new))


def _plain(what: str, old: object, new: object) -> Iterator[Difference]:
    if old != new:
        yield Difference("changed", what, "", "")


def _shown(duration: Duration | None) -> str:
    return str(duration) if duration is not None else "none"
