"""How many connections there are to one server, and how long it is waited for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from securemem.remote import Patience, number

CONNECTIONS = 8


class Limits(NamedTuple):
    """Of one server: its connections, and seconds."""

    size: int = CONNECTIONS
    patience: Patience = Patience()

    @classmethod
    def of(cls, options: Mapping[str, str], timeout: float | None) -> Limits:
        """Read a URL's settings.

        Args:
            options: `pool_size`, `timeout` and `patience`.
            timeout: what holds where the options say nothing; None for the default.

        Raises:
            ConfigurationError: one is no number, or out of range.
        """
        usual = Patience()
        return cls(
            int(number(options, "pool_size", CONNECTIONS, least=1)),
            Patience(
                number(options, "timeout", timeout or usual.attempt, least=0.01),
                number(options, "patience", usual.whole, least=0.01),
            ),
        )
