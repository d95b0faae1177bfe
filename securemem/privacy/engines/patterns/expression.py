"""Regular expressions that are compiled when they are first used: importing the engine compiles none."""

from __future__ import annotations

import re
from functools import cached_property


class Expression:
    """One regular expression."""

    def __init__(self, source: str) -> None:
        """Compile nothing yet."""
        self.source = source

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """Give it compiled."""
        return re.compile(self.source)
