"""Puts a policy's engines and treatments together for one tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from securemem.adapters import make_detector
from securemem.model import Detection
from securemem.policy import Pii, Policy
from securemem.privacy.privacy import Privacy
from securemem.privacy.surrogates import Surrogates

KEEP = "keep"


def detection_of(pii: Pii, entities: Iterable[str]) -> Detection:
    """Give what a policy asks of its engines: to find some entities."""
    return Detection(
        engine=pii.engine,
        entities=frozenset(entities),
        languages=pii.languages,
        regions=pii.regions,
        threshold=pii.threshold,
        model=pii.model,
        options=pii.options,
    )


def entities_of(policy: Policy) -> dict[str, str]:
    """Give what a policy looks for and how that is treated; what only a rule's `on_write` treats is kept elsewhere."""
    treated = {entity: KEEP for rule in policy.rules.rules for entity in rule.on_write}
    return treated | (policy.pii.entities if policy.pii is not None else {})


async def make_privacy(policy: Policy, keyed_hash: Callable[[bytes], bytes]) -> Privacy | None:
    """Give what a policy does with personal data, its engines open; None where it does nothing.

    Raises:
        ConfigurationError: an engine, a model or a package is not there, or an entity that no engine finds.
    """
    pii, entities = policy.pii, entities_of(policy)
    if pii is None or not entities:
        return None
    detector = make_detector(detection_of(pii, entities))
    if detector.is_quick:
        detector.open()
    else:
        await asyncio.to_thread(detector.open)
    surrogates = Surrogates(pii.languages[0]) if pii.pseudonyms == "realistic" else None
    by_rules = frozenset(treatment for rule in policy.rules.rules for treatment in rule.on_write.values())
    return Privacy(detector, entities, keyed_hash, surrogates, by_rules=by_rules)
