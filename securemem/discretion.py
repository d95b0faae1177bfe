"""Puts a policy's engines and treatments together for one tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from securemem.adapters import make_detector
from securemem.model import Detection
from securemem.policy import Pii
from securemem.privacy.privacy import Privacy
from securemem.privacy.surrogates import Surrogates


def detection_of(pii: Pii) -> Detection:
    """Give what a policy asks of its engines."""
    return Detection(
        engine=pii.engine,
        entities=frozenset(pii.entities),
        languages=pii.languages,
        regions=pii.regions,
        threshold=pii.threshold,
        model=pii.model,
        options=pii.options,
    )


async def make_privacy(pii: Pii | None, keyed_hash: Callable[[bytes], bytes]) -> Privacy | None:
    """Give what a policy does with personal data, its engines open; None where it does nothing.

    Raises:
        ConfigurationError: an engine, a model or a package is not there, or an entity that no engine finds.
    """
    if pii is None or not pii.entities:
        return None
    detector = make_detector(detection_of(pii))
    if detector.is_quick:
        detector.open()
    else:
        await asyncio.to_thread(detector.open)
    surrogates = Surrogates(pii.languages[0]) if pii.pseudonyms == "realistic" else None
    return Privacy(detector, pii.entities, keyed_hash, surrogates)
