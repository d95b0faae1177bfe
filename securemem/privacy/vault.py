"""A person's vault: which pseudonym stands for what. Pure: what it holds is sealed and stored elsewhere.

The same value has the same number in all of the person's sessions. Another wording of it has the same number and a
variant of its own, so that every text can be given back as it was: "SARAH CONNOR", and "Sarah" where only one Sarah is
known. What is in the vault is found again in later texts, whether or not an engine finds it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple, Self

from securemem.errors import CorruptRecordError
from securemem.model import Message, Span
from securemem.privacy.tokens import Token

_WORD = re.compile(r"\w+")
_START = re.compile(r"\b\w|[^\w\s]")
_TITLES = frozenset({"mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "herr", "frau", "mme", "mlle", "sr", "sra"})
_NUMERIC = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN"})
_NAMES = frozenset({"PERSON"})
_ALSO_WORDS = frozenset(
    """art april august bill chase christian dawn dean drew faith frank grace grant hope hunter jack jade june joy mark
    mason may miles olive pat penny ray rich rob robin rose summer sue violet ward will worth young""".split()  # noqa: SIM905
)
"""Names that are words besides, and stand at the beginning of sentences as such."""
_LEAST_PART = 3


class Entry(NamedTuple):
    """One wording of one value.

    Attributes:
        token: its pseudonym, with no mark of a guest.
        text: what it stands for.
        surrogate: what a model reads in place of the token, "" for the token itself.
        until: when the last message with it ends; None if one has no end.
    """

    token: Token
    text: str
    surrogate: str = ""
    until: datetime | None = None

    @classmethod
    def of(cls, message: Message) -> Self:
        """Give the entry that a message of a vault holds.

        Raises:
            CorruptRecordError: it holds none, though its seal held.
        """
        content: Any = message.content
        try:
            entity, number, variant, text, surrogate = content
            return cls(Token(entity, number, variant), text, surrogate, message.expires_at)
        except (TypeError, ValueError):
            raise CorruptRecordError("holds what this version cannot read", seq=message.seq) from None

    def content(self) -> list[str | int]:
        """Give what a message of a vault holds of it."""
        return [*self.token[:3], self.text, self.surrogate]

    def __repr__(self) -> str:
        return f"Entry(token={self.token})"


class Vault:
    """The entries of one person.

    Attributes:
        is_void: whether it holds entries that were not written, so that it has to be read anew.
        of: the handle of the session that it was read from; None where there was none yet.
        used: no number up to this one, and no variant, is given to another value: entries that are gone may have had
            it, and messages that are kept for longer may have their tokens in them.
    """

    def __init__(self) -> None:
        self.is_void = False
        self.of: bytes | None = None
        self.used = 0
        self._by_text: dict[tuple[str, str], Entry] = {}
        self._by_token: dict[Token, Entry] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._people: dict[int, frozenset[str]] = {}
        self._newest: dict[str, int] = {}
        self._literals: _Index = {}
        self._surrogates: _Index = {}
        self._beginnings: set[str] = set()
        self._longest = 0
        self._taken: set[str] = set()

    def __len__(self) -> int:
        return len(self._by_token)

    def __repr__(self) -> str:
        return f"Vault({len(self)} entries)"

    def add(self, entry: Entry) -> bool:
        """Take an entry, or a later end of one that is there.

        Returns:
            Whether it stands; not if its token stands for something else already: the first to take it has it.
        """
        there = self._by_token.get(entry.token)
        if there is not None and there.text != entry.text:
            return False
        if there is not None:
            entry = there._replace(until=_later(there.until, entry.until))
        self._by_token[entry.token] = entry
        key = (entry.token.entity, entry.text)
        if key not in self._by_text or self._by_text[key].token == entry.token:
            self._by_text[key] = entry
        if there is None:
            self._index(entry)
        return True

    def _index(self, entry: Entry) -> None:
        entity, number = entry.token.entity, entry.token.number
        self._newest[entity] = max(number, self._newest.get(entity, 0))
        self._numbers.setdefault((entity, _alike(entity, entry.text)), number)
        if entity in _NAMES:
            self._people[number] = self._people.get(number, frozenset()) | _words(entry.text)
        self._taken |= {entry.text, entry.surrogate}
        _put(self._literals, entry.text, entry)
        if entry.surrogate:
            # What says by chance what a surrogate says is treated as its value is, so that it is not taken for one.
            _put(self._literals, entry.surrogate, entry)
            _put(self._surrogates, entry.surrogate, entry)
            self._beginnings.update(entry.surrogate[:size] for size in range(1, len(entry.surrogate) + 1))
            self._longest = max(self._longest, len(entry.surrogate))

    def holds(self, entry: Entry) -> bool:
        """Tell whether a token stands for what an entry says."""
        there = self._by_token.get(entry.token)
        return there is not None and there.text == entry.text and there.surrogate == entry.surrogate

    def get(self, token: Token, now: datetime) -> Entry | None:
        """Give the entry of a token that is not past its time."""
        entry = self._by_token.get(token)
        return entry if entry is not None and (entry.until is None or entry.until > now) else None

    def entries(self, now: datetime) -> list[Entry]:
        """Give the entries that are not past their time, in the order in which they were made."""
        return [entry for entry in self._by_token.values() if entry.until is None or entry.until > now]

    def stands_for(self, entity: str, text: str, now: datetime) -> Entry | None:
        """Give the entry of a value in just this wording."""
        entry = self._by_text.get((entity, text))
        return self.get(entry.token, now) if entry is not None else None

    def first(self, token: Token) -> Entry | None:
        """Give the entry of the first wording of what a token stands for."""
        return self._by_token.get(token._replace(variant=1))

    def nearest(self, entity: str, text: str, now: datetime) -> Entry | None:
        """Give the entry of a value in this wording, or else in the first that it had."""
        number = self._number(entity, text)
        return self.stands_for(entity, text, now) or (self.get(Token(entity, number), now) if number else None)

    def draft(self, entity: str, text: str, until: datetime | None) -> Entry:
        """Give the entry that a value gets which has none: its number, and a wording of its own.

        It is in the vault when `add` has taken it.
        """
        number = self._number(entity, text)
        if number is None:
            return Entry(Token(entity, max(self.used, self._newest.get(entity, 0)) + 1), text, until=until)
        variant = self.used + 1
        while Token(entity, number, variant) in self._by_token:
            variant += 1
        return Entry(Token(entity, number, variant), text, until=until)

    def _number(self, entity: str, text: str) -> int | None:
        """Give the number of a value that is known by another wording, where it can be only one."""
        number = self._numbers.get((entity, _alike(entity, text)))
        if number is not None or entity not in _NAMES:
            return number
        words = _words(text)
        alike = [number for number, known in self._people.items() if words and (words <= known or words >= known)]
        return alike[0] if len(alike) == 1 else None

    def find(self, text: str, now: datetime, *, is_identifier: bool = False) -> list[Span]:
        """Give where something stands in a text that is in the vault; spans may overlap.

        Args:
            text: any.
            now: entries past their time are not looked for.
            is_identifier: whether it names a thing of the system's, in which a single word is no name.
        """
        if not self._by_token:
            return []
        found = (span for match in _WORD.finditer(text) for span in self._at(match, text, now))
        return [span for span in found if not (is_identifier and text[span.start : span.end].isalpha())]

    def _at(self, match: re.Match[str], text: str, now: datetime) -> Iterator[Span]:
        for start, end, entry in _matches(self._literals, match, text):
            if self.get(entry.token, now) is not None and _is_same(text[start:end], entry):
                yield Span(start, end, entry.token.entity)
                return
        if self._is_part(match[0], match[0].casefold()):
            yield Span(match.start(), match.end(), "PERSON")

    def find_surrogates(self, text: str) -> list[tuple[int, int, Token]]:
        """Give where surrogates stand in a text, ascending and apart from each other, and their tokens."""
        if not self._surrogates:
            return []
        found: list[tuple[int, int, Token]] = []
        for match in _WORD.finditer(text):
            for start, end, entry in _matches(self._surrogates, match, text):
                if text[start:end] == entry.surrogate and (not found or start >= found[-1][1]):
                    found.append((start, end, entry.token))
                    break
        return found

    def is_taken(self, text: str) -> bool:
        """Tell whether a text is a value or a surrogate, so that it can be neither a second time."""
        return text in self._taken

    def begins_surrogate(self, text: str) -> int:
        """Give where a surrogate begins at a text's end that may be gone on with; the text's length if nowhere."""
        if not self._beginnings:
            return len(text)
        longest = max(0, len(text) - self._longest)
        starts = (match.start() for match in _START.finditer(text, longest))
        begun = [start for start in starts if text[start:] in self._beginnings]
        whole = self.find_surrogates(text) if begun else []
        return next((at for at in begun if not any(start < at < end for start, end, _ in whole)), len(text))

    def _is_part(self, word: str, folded: str) -> bool:
        """Tell whether a word is the name of somebody known, and hardly anything else."""
        if len(word) < _LEAST_PART or not word[0].isupper() or folded in _ALSO_WORDS:
            return False
        return any(folded in words for words in self._people.values())


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)


def _words(name: str) -> frozenset[str]:
    return frozenset(word for word in _WORD.findall(name.casefold()) if word not in _TITLES)


def _alike(entity: str, text: str) -> str:
    """Give what wordings of one value have in common."""
    if entity in _NUMERIC:
        return re.sub(r"\W", "", text).casefold()
    return " ".join(text.casefold().split())


def _is_whole(text: str, start: int, end: int) -> bool:
    """Tell whether no word is cut at either end."""
    if end > len(text):
        return False
    before, after = text[start - 1 : start], text[end : end + 1]
    first, last = text[start], text[end - 1]
    return not (is_word(before) and is_word(first)) and not (is_word(last) and is_word(after))


def is_word(character: str) -> bool:
    """Tell whether a character is of a word."""
    return character.isalnum() or character == "_"


_Index = dict[str, list[tuple[int, Entry, str]]]
"""Texts by their first word, the longest first: how many characters stand before that word, and whose text it is."""


def _put(index: _Index, text: str, entry: Entry) -> None:
    first = _WORD.search(text)
    if first is not None:
        same = index.setdefault(first[0].casefold(), [])
        same.append((first.start(), entry, text))
        same.sort(key=lambda item: -len(item[2]))


def _matches(index: _Index, match: re.Match[str], text: str) -> Iterator[tuple[int, int, Entry]]:
    """Give the texts of an index that stand at a word, in whatever case."""
    for ahead, entry, value in index.get(match[0].casefold(), ()):
        start = match.start() - ahead
        end = start + len(value)
        if start >= 0 and _is_whole(text, start, end) and text[start:end].casefold() == value.casefold():
            yield start, end, entry


def _is_same(found: str, entry: Entry) -> bool:
    """Tell whether a text is a value: in any case, but for single words, which mean something else in another."""
    return found in (entry.text, entry.surrogate) or " " in entry.text or not entry.text.isalpha()
