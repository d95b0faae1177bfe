"""What a policy does with personal data: finds it in messages, and treats it. No I/O but the engines' own threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from securemem import codec
from securemem.model import Message, Span
from securemem.privacy.detector import Detector
from securemem.privacy.leaves import Leaf, leaves, rebuild
from securemem.privacy.settle import settle
from securemem.privacy.surrogates import Surrogates
from securemem.privacy.text import TOKEN, Treated, treat
from securemem.privacy.tokens import TOKEN as TOKENS
from securemem.privacy.tokens import token_of
from securemem.privacy.treatments.table import TREATMENTS
from securemem.privacy.treatments.treatment import Treatment
from securemem.privacy.vault import Entry, Vault

PSEUDONYMISE = "pseudonymise"
_SPEAKS_IN_TOKENS = "assistant"


class Found(msgspec.Struct, frozen=True, gc=False):
    """A message and what was found in it.

    Attributes:
        message: of plain JSON.
        spans: of each of its texts, those of the content and then those of the metadata; empty if there are none.
    """

    message: Message
    spans: list[list[Span]]

    @property
    def entities(self) -> frozenset[str]:
        """What was found in it."""
        return frozenset(span.entity for spans in self.spans for span in spans)

    @property
    def says_something(self) -> bool:
        """Whether something is true of the message that a rule could ask for, as far as itself tells."""
        return bool(self.spans or self.message.metadata)

    def __repr__(self) -> str:
        return f"Found({self.message!r})"


class _Treated(NamedTuple):
    """How entities are treated, and which of them so that their values can be given back."""

    treatments: dict[str, Treatment]
    reversible: frozenset[str]

    @classmethod
    def of(cls, entities: Mapping[str, str]) -> _Treated:
        """Look up the treatments of entities by their names."""
        treatments = {entity: TREATMENTS[name] for entity, name in entities.items()}
        return cls(treatments, frozenset(entity for entity, name in entities.items() if name == PSEUDONYMISE))


class Desk:
    """What treatments are handed while one person's messages are treated (`treatments.treatment.Hand`).

    Attributes:
        until: when the message ends that is being treated; None if it has no end. What it uses lasts as long.
        new: the entries that are to be stored: of new values, and of known ones that last longer than they did.
    """

    def __init__(
        self, keyed_hash: Callable[[bytes], bytes], vault: Vault, now: datetime, surrogates: Surrogates | None = None
    ) -> None:
        """Take what a tenant and a person have."""
        self.keyed_hash = keyed_hash
        self.vault = vault
        self.now = now
        self.until: datetime | None = None
        self.new: list[Entry] = []
        self._surrogates = surrogates

    def pseudonym(self, entity: str, value: str) -> str:
        """As `Hand`; a value that has none yet gets one."""
        entry = self.vault.stands_for(entity, value, self.now)
        if entry is not None:
            self.use(entry)
            return str(entry.token)
        entry = self.vault.draft(entity, value, self.until)
        if self._surrogates is not None:
            entry = self._surrogates.make(entry, self.vault)
        self.vault.add(entry)
        self.new.append(entry)
        return str(entry.token)

    def use(self, entry: Entry) -> None:
        """Make an entry last as long as the message."""
        if entry.until is not None and (self.until is None or entry.until < self.until):
            longer = entry._replace(until=self.until)
            self.vault.add(longer)
            self.new.append(longer)


class Privacy:
    """One policy's engines and treatments.

    Attributes:
        pseudonymises: whether some entity is kept under pseudonyms.
    """

    def __init__(
        self,
        detector: Detector,
        entities: dict[str, str],
        keyed_hash: Callable[[bytes], bytes],
        surrogates: Surrogates | None,
        *,
        by_rules: frozenset[str] = frozenset(),
    ) -> None:
        """Take an open detector.

        Args:
            detector: of the entities.
            entities: and the names of their treatments.
            keyed_hash: the tenant's.
            surrogates: for pseudonyms that are realistic; None for tokens.
            by_rules: the names of treatments that rules have for some messages.
        """
        self.pseudonymises = PSEUDONYMISE in {*entities.values(), *by_rules}
        self._detector = detector
        self._keyed_hash = keyed_hash
        self._surrogates = surrogates
        self._entities = entities
        self._usual = _Treated.of(entities)
        self._otherwise: dict[frozenset[tuple[str, str]], _Treated] = {}

    def close(self) -> None:
        """End the engines' threads."""
        self._detector.close()

    async def find(self, message: Message) -> Found:
        """Find what stands in a message.

        Raises:
            DetectionError: an engine failed.
        """
        content, metadata = message.content, message.metadata
        language = self._detector.language_of(metadata)
        spans = [await self._detector.find(leaf, language) for leaf in _texts(content, metadata)]
        return Found(message, spans if any(spans) else [])

    async def find_quickly(self, message: Message) -> Found:
        """Find what stands in a message; in one of text alone without a detour, where the engine is quick.

        Raises:
            InvalidInputError: it cannot be stored.
            DetectionError: as `find`.
        """
        return self.find_at_once(message) or await self.find(codec.plain(message))

    def find_at_once(self, message: Message) -> Found | None:
        """Find what stands in a message of a short text alone; None where that takes longer.

        Raises:
            DetectionError: as `find`.
        """
        spans = self._detector.find_in_text(message.content) if codec.is_text(message) else None
        return Found(message, [spans] if spans else []) if spans is not None else None

    def desk(self, vault: Vault, now: datetime) -> Desk:
        """Give what one person's messages are treated with."""
        return Desk(self._keyed_hash, vault, now, self._surrogates)

    def treat(
        self, found: Found, desk: Desk, until: datetime | None, otherwise: Mapping[str, str] | None = None
    ) -> Message:
        """Treat a message.

        Args:
            found: the message.
            desk: its person's.
            until: when it ends; None if it has no end.
            otherwise: treatments of some entities, in place of those that the policy has for all messages.

        Raises:
            PIIBlockedError: the policy refuses what stands in it.
        """
        how = self._how(otherwise) if otherwise else self._usual
        if not found.spans and not how.reversible:
            return found.message
        message = found.message
        desk.until = until
        spans = iter(found.spans)
        marked = False

        def treated(leaf: Leaf) -> str:
            nonlocal marked
            made = _treat(leaf, next(spans, []), desk, how, speaks=message.role == _SPEAKS_IN_TOKENS)
            marked = marked or made.marked
            return made.text

        content = rebuild(message.content, treated)
        metadata = rebuild(message.metadata, treated) if message.metadata is not None else None
        return replace(message, content=content, metadata=metadata, pseudonymised=marked)

    def _how(self, otherwise: Mapping[str, str]) -> _Treated:
        key = frozenset(otherwise.items())
        found = self._otherwise.get(key)
        if found is None:
            found = self._otherwise[key] = _Treated.of(self._entities | dict(otherwise))
        return found


def _treat(leaf: Leaf, spans: list[Span], desk: Desk, how: _Treated, *, speaks: bool) -> Treated:
    text = leaf.text
    if how.reversible:
        known = desk.vault.find(text, desk.now, is_identifier=leaf.is_identifier)
        known = [span for span in known if span.entity in how.treatments]
        own = list(_tokens(text, desk)) if speaks and "[" in text else []
        if known or own:
            spans = _without(own, settle([*spans, *known]))
    return treat(text, spans, how.treatments, desk, reversible=how.reversible)


def _texts(content: Any, metadata: dict[str, Any] | None) -> Iterator[Leaf]:
    yield from leaves(content)
    if metadata is not None:
        yield from leaves(metadata)


def _tokens(text: str, desk: Desk) -> Iterator[Span]:
    """Give the tokens of a model's answer that stand for something."""
    for match in TOKENS.finditer(text):
        token = token_of(match)
        entry = desk.vault.get(token, desk.now)
        if entry is not None:
            desk.use(entry)
            yield Span(match.start(), match.end(), TOKEN)


def _without(tokens: Sequence[Span], spans: Sequence[Span]) -> list[Span]:
    """Give tokens and those spans that touch none, ascending."""
    apart = (span for span in spans if not any(span.start < token.end and token.start < span.end for token in tokens))
    return sorted([*tokens, *apart])
