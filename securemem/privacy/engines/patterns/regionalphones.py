"""PHONE_NUMBER, in the groups of one country: only where its region is asked for, for they are like too much else."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.pattern import SHAPED, Pattern
from securemem.privacy.engines.patterns.phones import END, NOT_WITHIN, national
from securemem.privacy.engines.patterns.phonewords import OTHER_WORDS_AND_SSN
from securemem.privacy.engines.patterns.views import digits


def _phone(regions: str, regex: str, *, by_default: bool = False) -> Pattern:
    """Give a row.

    Args:
        regions: divided by blanks.
        regex: its first character alone, before all that may repeat.
        by_default: whether a policy that names no regions has it.
    """
    length = regex.index("]") + 1 if regex.startswith("[") else 1
    return Pattern(
        name=f"phone of {regions}",
        entity="PHONE_NUMBER",
        trigger=digits(8),
        regex=f"(?a){regex[:length]}{NOT_WITHIN}{regex[length:]}(?![0-9]){END}",
        check=national(8, 11),
        unless=OTHER_WORDS_AND_SSN,
        score=SHAPED,
        regions=frozenset(regions.split()),
        by_default=by_default,
    )


ROWS: Final = (
    _phone("GB", "07[1-9][0-9]{8}", by_default=True),
    _phone("ES", "[6-9][0-9]{2} ?(?:[0-9]{3} ?[0-9]{3}|[0-9]{2} [0-9]{2} [0-9]{2})"),
    _phone("PT", "[29][0-9](?:[0-9] [0-9]{3} [0-9]{3}| [0-9]{3} [0-9]{4})"),
    _phone("NO DK", "[2-9][0-9] [0-9]{2} [0-9]{2} [0-9]{2}"),
    _phone("NO", "[49][0-9]{2} [0-9]{2} [0-9]{3}"),
    _phone("PL CZ SK", "[1-9][0-9]{2}[ -][0-9]{3}[ -][0-9]{3}"),
    _phone("PL", "[1-9][0-9] [0-9]{3} [0-9]{2} [0-9]{2}"),
    _phone("GR", "[26][0-9]{1,3} [0-9]{3,4} [0-9]{3,4}"),
    _phone("SG HK", "[35689][0-9]{3}[ -][0-9]{4}"),
    _phone("CN", "1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}"),
    _phone("IN", "[6-9][0-9]{4}[ -]?[0-9]{5}"),
    _phone("RU KZ", "8 ?[(][0-9]{3}[)] ?[0-9]{3}-?[0-9]{2}-?[0-9]{2}"),
    _phone("FR", "0[1-9][0-9]{8}"),
    _phone("IT", "3[0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3,4}"),
)
