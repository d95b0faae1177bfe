"""All patterns there are."""

from __future__ import annotations

from itertools import chain
from typing import Final

from securemem.privacy.engines.patterns import (
    accounts,
    cards,
    mails,
    network,
    passwords,
    phones,
    socials,
    tokens,
    urls,
)
from securemem.privacy.engines.patterns.pattern import Pattern

_ROOMS: Final = (tokens, passwords, mails, urls, cards, accounts, network, phones, socials)

ROWS: Final[tuple[Pattern, ...]] = tuple(chain.from_iterable(room.ROWS for room in _ROOMS))
