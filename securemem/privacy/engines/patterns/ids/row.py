"""The row of a national number."""

from __future__ import annotations

from collections.abc import Callable

from securemem.privacy.engines.patterns.digits import compact
from securemem.privacy.engines.patterns.pattern import CHECKED, TOLD, Pattern, whole
from securemem.privacy.engines.patterns.views import Trigger, digits, forms, spoken


def number(
    entity: str,
    region: str,
    regex: str,
    holds: Callable[[str], bool],
    *,
    words: tuple[str, ...] = (),
    form: tuple[str, ...] = (),
    trigger: Trigger | None = None,
) -> Pattern:
    """Give a row.

    Args:
        entity: what it is.
        region: the country, by ISO 3166-1.
        regex: without what must not stand beside it; its first character alone, before all that may repeat.
        holds: tells whether the number is right, of its letters and digits alone, in upper case.
        words: one of these must stand before it, if any are given, in lower case.
        form: as `Views.forms` has it, where no words are given; of one with blanks in it, of any of its groups.
        trigger: four digits in a row, where none is given.
    """
    first, rest = _split(regex)
    return Pattern(
        name=f"{entity} that is called one" if words else entity,
        entity=entity,
        trigger=trigger or digits(4),
        also=(spoken(*words),) if words else (forms(*form),) if form else (),
        regex=rf"(?a){first}(?<![\w.+][A-Za-z0-9])(?<![0-9A-Za-z][-/][A-Za-z0-9]){rest}(?![\w]|[-/.][0-9A-Za-z])",
        check=whole(lambda value: holds(compact(value))),
        context=frozenset(words),
        score=TOLD if words else CHECKED,
        regions=frozenset({region}),
    )


def _split(regex: str) -> tuple[str, str]:
    length = regex.index("]") + 1 if regex.startswith("[") else 1
    return regex[:length], regex[length:]
