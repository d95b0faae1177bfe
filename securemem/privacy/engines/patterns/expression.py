"""Regular expressions that are compiled when they are first used: importing the engine compiles none."""

from __future__ import annotations

import re
from functools import cached_property
from typing import AnyStr, Generic


class Expression(Generic[AnyStr]):
    """One regular expression."""

    def __init__(self, source: AnyStr) -> None:
        """Compile nothing yet."""
        self.source: AnyStr = source

    @cached_property
    def compiled(self) -> re.Pattern[AnyStr]:
        """Give it compiled."""
        return re.compile(self.source)
