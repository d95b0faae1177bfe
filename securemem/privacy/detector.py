"""Asks the engines of a policy: `patterns` for every text, another besides where names may stand in it.

What is quick runs on the event loop, all else in threads, as many as there are cores. Whatever an engine raises becomes
a `DetectionError` that says nothing of the text.
"""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from securemem.errors import ConfigurationError, DetectionError
from securemem.model import Detection, Span
from securemem.ports import PIIEngine
from securemem.privacy.leaves import Leaf
from securemem.privacy.settle import settle

_LONG = 20_000
"""Characters that are too many to look through on the event loop."""
_MAY_BE_JSON = frozenset("{[ \t\r\n")


class Detector:
    """The engines of one policy, opened once."""

    def __init__(self, detection: Detection, patterns: PIIEngine, besides: PIIEngine | None) -> None:
        """Take the engines.

        Args:
            detection: what is looked for.
            patterns: the one that is always there.
            besides: another, or None.
        """
        self._detection = detection
        self._patterns = patterns
        self._besides = besides
        self._entities = detection.entities
        self._language = detection.languages[0]
        self._pool: ThreadPoolExecutor | None = None

    @property
    def is_quick(self) -> bool:
        """Whether everything is found at once, on the event loop."""
        return self._besides is None or self._besides.quick

    def open(self) -> None:
        """Load the engines, which may take seconds.

        Raises:
            ConfigurationError: one cannot be loaded, or nothing finds some entity.
        """
        found = frozenset[str]()
        for engine in self._engines():
            engine.open()
            found |= engine.entities
        missing = sorted(self._entities - found)
        if missing:
            raise ConfigurationError(
                f"engine {self._detection.engine!r} does not find {', '.join(missing)}: take it out of the policy's "
                f"pii.entities, or name another engine; this one finds {', '.join(sorted(found))}"
            )

    def _engines(self) -> list[PIIEngine]:
        return [self._patterns] if self._besides is None else [self._patterns, self._besides]

    def language_of(self, metadata: object) -> str:
        """Give the language that a message's metadata names, if the policy has it; else the policy's first."""
        named = metadata.get("language") if isinstance(metadata, dict) else None
        return named if named in self._detection.languages else self._language

    def find_in_text(self, text: str) -> list[Span] | None:
        """Give what stands in a short text of nothing but words, in which nothing has to be looked for in a thread.

        Returns:
            The spans, settled; None where the text has to go the long way, for its length or its form.

        Raises:
            DetectionError: an engine failed.
        """
        if self._besides is not None or len(text) > _LONG or text[:1] in _MAY_BE_JSON:
            return None
        found = self._ask(self._patterns, text, self._language)
        return settle(found) if len(found) > 1 else found

    def find_at_once(self, leaf: Leaf, language: str) -> list[Span]:
        """Give what stands in a text, settled; for quick engines, on the event loop.

        Raises:
            DetectionError: an engine failed.
        """
        found = self._ask(self._patterns, leaf.text, language)
        if self._besides is not None and leaf.is_prose:
            found = found + self._in_prose(self._besides, leaf, language)
        return settle(found) if len(found) > 1 else found

    async def find(self, leaf: Leaf, language: str) -> list[Span]:
        """Give the same, with what is slow in a thread.

        Raises:
            DetectionError: an engine failed.
        """
        if len(leaf.text) <= _LONG and (self.is_quick or not leaf.is_prose):
            return self.find_at_once(leaf, language)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="securemem-pii")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self.find_at_once, leaf, language)

    def _in_prose(self, engine: PIIEngine, leaf: Leaf, language: str) -> list[Span]:
        """Ask an engine, with the key before the text where that says what to expect."""
        ahead = f"{leaf.key.replace('_', ' ').replace('-', ' ')}: " if leaf.is_named else ""
        found = self._ask(engine, ahead + leaf.text, language)
        if not ahead:
            return found
        moved = (Span(span.start - len(ahead), span.end - len(ahead), span.entity, span.score) for span in found)
        return [span for span in moved if span.start >= 0]

    def _ask(self, engine: PIIEngine, text: str, language: str) -> list[Span]:
        try:
            return engine.find(text, language, self._entities)
        except Exception as exc:  # noqa: BLE001  (whatever it is, nothing is saved)
            # From nothing: what an engine raises may repeat the text.
            raise DetectionError(
                f"the engine of personal data {type(engine).__name__} failed ({type(exc).__name__}): nothing was saved"
            ) from None

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
