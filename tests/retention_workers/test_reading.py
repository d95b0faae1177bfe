"""A session that a worker destroys while another process reads it is gone for that process, and not damaged."""

from __future__ import annotations

from typing import Any

import pytest

from securemem.errors import WrongKeyError

from .children import clock_at
from .conftest import Scenes
from .scene import DAY, FIRST, VISITOR


@pytest.mark.parametrize("is_destroyed", [True, False], ids=["destroyed", "as it was"])
async def test_what_is_destroyed_while_it_is_read_is_gone(
    scenes: Scenes, monkeypatch: pytest.MonkeyPatch, *, is_destroyed: bool
) -> None:
    """Whoever has its rows, and asks for a guest's key when that is gone, looks again; who finds it as it was, raises.

    Found by a run in which somebody chatted beside workers that were killed.
    """
    place = (await scenes.next(1)).place
    async with place.open(clock_at(0)) as writer:
        await writer.session("s", user_id="ann").add("user", "x", user_id=VISITOR, ttl=60)
    async with place.open(clock_at(0)) as reader, place.open(clock_at(FIRST * DAY)) as worker:
        backend: Any = (await reader.host.ready()).backend
        keystore: Any = (await reader.host.ready()).keyring.keystore
        tail, rows_read = backend.tail, 0

        async def late(*arguments: Any, **options: Any) -> Any:
            nonlocal rows_read
            found = await tail(*arguments, **options)
            rows_read += 1
            if rows_read == 1 and is_destroyed:
                assert (await worker.sweep()).sessions
            return found

        async def none(_: bytes) -> list[Any]:
            return []

        monkeypatch.setattr(backend, "tail", late)
        if not is_destroyed:
            monkeypatch.setattr(keystore, "guests", none)
            with pytest.raises(WrongKeyError, match="gone"):
                await reader.session("s", user_id="ann").history()
            return
        assert await reader.session("s", user_id="ann").history() == []
