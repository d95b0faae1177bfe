"""Raw key material, as a type of its own: no value in its repr, overwritten when it is done with."""

from __future__ import annotations

import os
from types import TracebackType
from typing import NoReturn, Self

KEY_BYTES = 32


class RawKey:
    """A symmetric key of 32 bytes in memory that can be overwritten.

    `expose_secret` is the one way to its bytes, so that a search finds every use. At the end of a `with` it is wiped,
    however that comes.
    """

    __slots__ = ("_bytes",)

    def __init__(self, material: bytes | bytearray) -> None:
        if len(material) != KEY_BYTES:
            raise ValueError(f"a raw key has {KEY_BYTES} bytes")
        self._bytes = bytearray(material)

    @classmethod
    def generate(cls) -> RawKey:
        """Draw a new key from the system's random source."""
        return cls(os.urandom(KEY_BYTES))

    def expose_secret(self) -> bytes:
        """Give a copy of the key's bytes, for a primitive that needs them."""
        if not self._bytes:
            raise ValueError("this key was wiped")
        return bytes(self._bytes)

    def wipe(self) -> None:
        """Overwrite the key; copies that a primitive made for itself are out of reach."""
        self._bytes[:] = bytes(len(self._bytes))
        self._bytes = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "RawKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a raw key is never pickled")
