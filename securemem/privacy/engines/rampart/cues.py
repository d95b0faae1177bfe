"""Names by what stands before them: a title, or "my name is", in the languages that have it so.

The network reads short messages about orders and appointments well, and misses "Dr. Wells" in an essay. What follows
such a cue and is written large is a name, three words of it at most.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from securemem.privacy.engines.rampart.words import Word

SCORE: Final = 0.75
_MOST: Final = 3
_SHORT_TITLE: Final = "Mr|Mrs|Ms|Mx|Dr|Prof|Hr|Fr|Sr|Sra|Srta|Dott|Mme|Mlle|Rev|Sgt|Capt|Lt"
_TITLE: Final = (
    r"Miss|Mister|Madam|Sir|Dame|Professor|Doctor|Herr|Herrn|Frau|Monsieur|Madame|Mademoiselle|Se\u00f1ora?|Don|Do\u00f1a|"
    r"Senhora?|Signora?|Signor|Meneer|Mevrouw|Pan|Pani|Fru|Fr\u00f6ken"
)
_SAYING: Final = (
    r"my[ ](?:full[ ])?name[ ]is|my[ ]name's|call[ ]me|mein[ ]name[ ]ist|ich[ ]hei(?:\u00df|ss)e|"
    r"je[ ]m['\u2019]appelle|mon[ ]nom[ ]est|me[ ]llamo|mi[ ]nombre[ ]es|mi[ ]chiamo|"
    r"il[ ]mio[ ]nome[ ]\u00e8|meu[ ]nome[ ]\u00e9|me[ ]chamo|"
    r"mijn[ ]naam[ ]is|ik[ ]heet|nazywam[ ]si\u0119|mam[ ]na[ ]imi\u0119|jag[ ]heter|mitt[ ]namn[ ]\u00e4r|"
    r"jeg[ ]he(?:dd|t)er|jmenuji[ ]se"
)
_CUE: Final = re.compile(rf"(?<!\w)(?:(?:{_SHORT_TITLE})\.?|{_TITLE}|(?i:{_SAYING}))[ ]{{1,2}}(?=[^\W\d_])")


def with_cued_names(text: str, words: Sequence[Word]) -> list[Word]:
    """Give the words of a text, those that follow a cue and are written large as likely as that makes them."""
    found = list(words)
    at = 0
    for cue in _CUE.finditer(text):
        while at < len(found) and found[at].start < cue.end():
            at += 1
        for number in range(at, min(at + _MOST, len(found))):
            word = found[number]
            goes_on = number == at or text[found[number - 1].end : word.start] in (" ", ". ")
            if not goes_on or not word.text[0].isupper():
                break
            found[number] = word.as_name(SCORE)
    return found
