"""The row of a national number."""

from __future__ import annotations

from collections.abc import Callable

from securemem.privacy.engines.patterns.digits import compact
from securemem.privacy.engines.patterns.pattern import CHECKED, TOLD, Pattern, whole
from securemem.privacy.engines.patterns.views import digits


def number(
    entity: str,
    region: str,
    regex: str,
    holds: Callable[[str], bool],
    *,
    words: tuple[str, ...] = (),
    shapes: tuple[str, ...] = (),
) -> Pattern:
    """Give a row.

    Args:
        entity: what it is.
        region: the country, by ISO 3166-1.
        regex: without what must not stand beside it; its first character alone, before all that may repeat.
        holds: tells whether the number is right, of its letters and digits alone, in upper case.
        words: one of these must stand before it, if any are given, in lower case; a "*" stands for any letters.
        shapes: of the number, where no words are given.
    """
    first, rest = _split(regex)
    any_word = "|".join(word.replace("*", r"\w*") for word in words)
    return Pattern(
        name=f"{entity} that is called one" if words else entity,
        entity=entity,
        trigger=digits(4),
        needles=tuple(word.rstrip("*") for word in words),
        shapes=shapes,
        regex=rf"{first}(?<![\w.+][A-Za-z0-9])(?<![0-9A-Za-z][-/][A-Za-z0-9]){rest}(?![\w]|[-/.][0-9A-Za-z])",
        check=whole(lambda value: holds(compact(value))),
        context=rf"\b(?:{any_word})(?:\b|_)" if words else "",
        score=TOLD if words else CHECKED,
        regions=frozenset({region}),
    )


def _split(regex: str) -> tuple[str, str]:
    length = regex.index("]") + 1 if regex.startswith("[") else 1
    return regex[:length], regex[length:]
