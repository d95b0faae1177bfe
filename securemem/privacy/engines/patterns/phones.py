"""PHONE_NUMBER: international (E.164, E.123), in groups that are like nothing else, and whatever is called one.

A bare row of digits is a telephone number only beside a word that says so, and never right behind one that says it is
something else.
"""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.callingcodes import is_international
from securemem.privacy.engines.patterns.digits import is_varied, only_digits
from securemem.privacy.engines.patterns.expression import Expression
from securemem.privacy.engines.patterns.pattern import CHECKED, SHAPED, TOLD, Check, Pattern
from securemem.privacy.engines.patterns.phonewords import NOT_CALLS, OTHER_WORDS_AND_SSN, PHONE_WORDS
from securemem.privacy.engines.patterns.views import digits, low

EXTENSION: Final = r"(?:[ ,;]{0,2}(?:extension|ext|x|#|durchwahl|poste|anexo|ramal)[ .:]{0,2}[0-9]{1,6}(?![0-9]))?"
_SEPARATORS: Final = " ./-"
_GAP: Final = r"[ ./-]{1,2}"
NOT_WITHIN: Final = r"(?<![\w+][0-9])(?<![^\s(\[:][.,/-][0-9])(?<![#$€£%-][0-9])"
END: Final = r"(?!\w|[.,:/-]\w|%)"

_NONE: Final = Expression(
    r"(?:(?:19|20)[0-9]{2}([ ./-])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([ ./-])[0-9]{1,2}\2(?:19|20)[0-9]{2})(?![0-9])"
    r"|[0-9]{5}-[0-9]{4}\Z|[0-9]{1,3}(?:\.[0-9]{1,3}){3}\Z|[0-9]{1,4}\.[0-9]+(?:[ /-]|\Z)"
)
"""A date, a postal code, an address of the internet, a decimal number."""

_EXTENDED: Final = Expression(r"[ ,;]*[a-z#]")


def _end_of(number: str) -> tuple[str, int]:
    """Give the digits of a number without its extension, and the length of that."""
    extended = _EXTENDED.compiled.search(number)
    plain = number if extended is None else number[: extended.start()]
    return only_digits(plain.replace("(0)", "")), len(plain)


def _is_in_a_row(text: str, start: int, end: int) -> bool:
    """Tell whether more numbers stand on either side, as in a table."""
    return (text[start - 1 : start] == " " and text[start - 2 : start - 1].isdigit()) or (
        text[end : end + 1] == " " and text[end + 1 : end + 2].isdigit()
    )


def national(fewest: int, most: int, *, alone: bool = True) -> Check:
    """Make a check of a number's digits; dates, addresses of the internet and postal codes are none.

    Args:
        fewest: digits.
        most: digits.
        alone: whether what stands among other numbers is none either.
    """

    def check(text: str, start: int, end: int) -> int:
        number = text[start:end].lower()
        plain, length = _end_of(number)
        if not fewest <= len(plain) <= most or not is_varied(plain) or (alone and _is_in_a_row(text, start, end)):
            return start
        if _NONE.compiled.match(number[:length]):
            return start
        return end

    return check


def international(dialled: int) -> Check:
    """Make a check of a number behind so many characters ("+", "00", "011"), which leaves out groups at the end."""

    def check(text: str, start: int, end: int) -> int:
        if dialled > 1 and _is_in_a_row(text, start, start):
            return start
        first = start + dialled
        ends = [end, *(place for place in range(end - 1, first, -1) if text[place] in _SEPARATORS)]
        numbers = (last for last in ends if is_international(_end_of(text[first:last].lower())[0]))
        return next(numbers, start)

    return check


ROWS: Final = (
    Pattern(
        name="phone with a plus",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=rf"(?a)\+(?<![\w+]\+) ?\(?[1-9](?:[ .()/-]{{0,3}}[0-9]){{6,16}}(?![0-9]){EXTENSION}",
        also=(low("+"),),
        lower=True,
        check=international(1),
        score=CHECKED,
    ),
    Pattern(
        name="phone with noughts",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=(
            rf"(?a)0{NOT_WITHIN}0[ -]?[1-9][0-9]{{0,2}}{_GAP}(?:[ .()/-]{{0,3}}[0-9]){{6,14}}(?![0-9])"
            rf"{EXTENSION}{END}"
        ),
        also=(low("00"),),
        lower=True,
        check=international(2),
        unless=OTHER_WORDS_AND_SSN,
        score=SHAPED,
    ),
    Pattern(
        name="phone of North America",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=rf"(?a)[2-9]{NOT_WITHIN}[0-9]{{2}}[ .-][0-9]{{3}}[ .-][0-9]{{4}}(?![0-9]){EXTENSION}{END}",
        lower=True,
        check=national(10, 10),
        unless=OTHER_WORDS_AND_SSN,
        score=SHAPED,
        regions=frozenset({"US", "CA", "PR", "JM", "TT", "BS", "BB", "DO"}),
    ),
    Pattern(
        name="phone of North America with a one",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=(
            rf"(?a)1{NOT_WITHIN}[ .-]\(?[2-9][0-9]{{2}}\)?[ .-][0-9]{{3}}[ .-]?[0-9]{{4}}(?![0-9])"
            rf"{EXTENSION}{END}"
        ),
        lower=True,
        check=national(11, 11),
        unless=OTHER_WORDS_AND_SSN,
        score=SHAPED,
        regions=frozenset({"US", "CA", "PR", "JM", "TT", "BS", "BB", "DO"}),
    ),
    Pattern(
        name="phone with its area in brackets",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=(
            rf"(?a)\((?<![\w)]\()\+?[0-9]{{1,5}}\)[ .-]{{0,2}}[0-9]{{2,8}}(?:[ .-]{{1,2}}[0-9]{{2,5}}){{0,4}}(?![0-9])"
            rf"{EXTENSION}{END}"
        ),
        also=(low("("),),
        lower=True,
        check=national(8, 13),
        unless=OTHER_WORDS_AND_SSN,
        score=SHAPED,
    ),
    Pattern(
        name="phone with a trunk's nought",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=(
            rf"(?a)0{NOT_WITHIN}[1-9][0-9]{{0,4}}(?:[ .-]{{1,2}}| ?/ ?)[0-9]{{2,9}}(?:[ .-]{{1,2}}[0-9]{{2,5}}){{0,4}}"
            rf"(?![0-9]){EXTENSION}{END}"
        ),
        lower=True,
        check=national(9, 12),
        unless=OTHER_WORDS_AND_SSN,
        score=SHAPED,
    ),
    Pattern(
        name="phone in groups that is called one",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=(
            rf"(?a)[(0-9]{NOT_WITHIN}[0-9]{{0,5}}\)?{_GAP}\(?[0-9]{{2,6}}\)?(?:{_GAP}[0-9]{{2,6}}){{0,4}}(?![0-9])"
            rf"{EXTENSION}{END}"
        ),
        lower=True,
        check=national(7, 13, alone=False),
        context=PHONE_WORDS,
        but_not=NOT_CALLS,
        unless=OTHER_WORDS_AND_SSN,
        score=TOLD,
    ),
    Pattern(
        name="phone that is called one",
        entity="PHONE_NUMBER",
        trigger=digits(7),
        regex=rf"(?a)[0-9]{NOT_WITHIN}[0-9]{{6,12}}(?![0-9]){EXTENSION}{END}",
        lower=True,
        check=national(7, 13, alone=False),
        context=PHONE_WORDS,
        close=True,
        but_not=NOT_CALLS,
        unless=OTHER_WORDS_AND_SSN,
        score=TOLD,
    ),
)
