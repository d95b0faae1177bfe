"""What a treatment is, and what it is handed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from securemem.model import Span


class Hand(Protocol):
    """What treatments need of the person and the tenant whose data it is."""

    def keyed_hash(self, data: bytes) -> bytes:
        """Give a hash of 32 bytes that is the same within a tenant, and means nothing outside of it."""

    def pseudonym(self, entity: str, value: str) -> str:
        """Give the token that stands for a value in the person's vault."""


Treatment = Callable[[str, Span, Hand], str]
"""Gives what stands in place of a value, by where it stood and what it is.

Pure and quick, for it runs on the event loop. It may raise `PIIBlockedError`: then nothing is written.
"""
