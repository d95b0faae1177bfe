"""Countries, states and larger cities by their names, which the network misses where no address is around them.

A country's name is taken for a place unless the network is fairly sure of a person (Georgia, Jordan). Cities have the
names of too much else: one is taken only where the network has at least an inkling of it, or a word before it says so,
as in "from Nice". What is written small is taken only for a country, in a text that writes everything small.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Final

from securemem.privacy.engines.rampart.words import WORD, Word

Key = tuple[str, ...]

SCORE: Final = 0.75
_INKLING: Final = 0.05
_RATHER_A_PERSON: Final = 0.3
_GAP: Final = frozenset(" .-&/'\u2019")
_ALSO_WORDS: Final = frozenset(
    {"chad", "china", "georgia", "guinea", "jersey", "jordan", "mali", "niger", "turkey", "maine"}
)
_BEFORE: Final = frozenset(
    {
        *("in", "from", "to", "at", "near", "around", "via", "toward", "towards", "outside", "visit", "visiting"),
        *("nach", "aus", "bei", "zu", "von", "naar", "uit", "te"),
        *("\u00e0", "en", "au", "aux", "vers", "desde", "hacia", "hasta", "a", "em", "para", "por", "da", "di"),
        *("w", "z", "do", "we", "i", "till", "fr\u00e5n", "til", "fra", "ved"),
    }
)


def with_known_places(text: str, words: Sequence[Word]) -> list[Word]:
    """Give the words of a text, those that name a known place as likely as that makes them."""
    known, most = load_places()
    all_small = text.islower()
    found = list(words)
    at = 0
    while at < len(found):
        count = _matches(text, found, at, known, most.get(folded(found[at].text), 0), all_small=all_small)
        for number in range(at, at + count):
            found[number] = found[number].as_place(SCORE)
        at += count or 1
    return found


def _matches(text: str, words: Sequence[Word], at: int, known: Mapping[Key, str], most: int, *, all_small: bool) -> int:
    """Give how many words, from one on, name a place together; 0 for none."""
    if not most or (words[at].text[0].islower() and not all_small):
        return 0
    for count in range(min(most, len(words) - at), 0, -1):
        taken = words[at : at + count]
        kind = known.get(tuple(folded(word.text) for word in taken))
        if kind is not None and _together(text, taken) and _likely(words, at, taken, kind, all_small=all_small):
            return count
    return 0


def _together(text: str, words: Sequence[Word]) -> bool:
    return all(set(text[before.end : after.start]) <= _GAP for before, after in pairwise(words))


def _likely(words: Sequence[Word], at: int, taken: Sequence[Word], kind: str, *, all_small: bool) -> bool:
    if max(word.name for word in taken) >= _RATHER_A_PERSON:
        return False
    if kind == "countries":
        return not all_small or taken[0].text not in _ALSO_WORDS
    if all_small:
        return False
    before = words[at - 1].text.casefold() if at else ""
    return before in _BEFORE or max(word.place for word in taken) >= _INKLING


@cache
def load_places() -> tuple[Mapping[Key, str], Mapping[str, int]]:
    """Read the list of places, once a process: the kind of each, and how many words the longest has by its first."""
    kinds: dict[Key, str] = {}
    most: dict[str, int] = {}
    kind = ""
    for line in files(__package__).joinpath("places.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
        elif line and not line.startswith("#"):
            key = tuple(folded(match[0]) for match in WORD.finditer(line))
            kinds.setdefault(key, kind)
            most[key[0]] = max(most.get(key[0], 0), len(key))
    return kinds, most


def folded(word: str) -> str:
    """Give a word without case and accents."""
    small = word.casefold()
    if small.isascii():
        return small
    return "".join(sign for sign in unicodedata.normalize("NFKD", small) if not unicodedata.combining(sign))
