"""English-like texts, the same for every store and every run: seeded, about 200 characters each."""

from __future__ import annotations

import random
from typing import NamedTuple

SIZE = 200
ROLES = ("user", "assistant")

_VOCABULARY = (
    "the and to of a in that is for it on you with as are be this have from or at not but by we can if my will one "
    "your all would there what so up out about who get which go me when make like time no just him know take people "
    "into year good some could them see other than then now look only come over think also back after use two how our "
    "work first well way even new want because any these give day most order delivery address invoice refund account "
    "password meeting tomorrow morning doctor appointment insurance contract number street please thanks question "
    "answer problem printer network update travel flight hotel booking reservation cancel change payment receipt"
)


class Said(NamedTuple):
    """One message before any store has seen it."""

    role: str
    content: str


class Corpus:
    """Texts to fill stores with, by number and without end."""

    def __init__(self, *, seed: int = 1, count: int = 2000) -> None:
        """Write `count` texts of 200 characters, more or less by a tenth."""
        rng = random.Random(seed)
        self._texts = [_text(rng, int(SIZE * rng.uniform(0.9, 1.1))) for _ in range(count)]

    def said(self, number: int) -> Said:
        """Give the message of a number: users and assistants in turn."""
        return Said(ROLES[number % 2], self._texts[number % len(self._texts)])

    def pair(self, number: int) -> list[Said]:
        """Give the two messages of a turn."""
        return self.run(2 * number, 2)

    def run(self, start: int, count: int) -> list[Said]:
        """Give so many messages from a number on."""
        return [self.said(start + offset) for offset in range(count)]


def _text(rng: random.Random, size: int) -> str:
    words, sentences = _VOCABULARY.split(), ""
    while len(sentences) < size:
        clause = " ".join(rng.choices(words, k=rng.randint(5, 12)))
        sentences += f"{clause.capitalize()}. "
    return sentences[:size]
