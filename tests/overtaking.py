"""Lets somebody be forgotten between the reading of a session and its opening."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from securemem import Message, SecureMemory


def erase_before_opening(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch, person: str) -> Callable[[], bool]:
    """Erase a person the next time that records are opened; gives what tells whether that was."""
    open_all, erased = memory.host.reader.open_all, False

    async def late(*arguments: Any, **options: Any) -> list[Message]:
        nonlocal erased
        if not erased:
            erased = True
            await memory.erase_user(person)
        return await open_all(*arguments, **options)

    monkeypatch.setattr(memory.host.reader, "open_all", late)
    return lambda: erased
