"""The date of a Redis's next snapshot, by its own settings: what it rests on, and that it holds."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from securemem.backends.redis import RedisBackend
from securemem.model import Change
from securemem.redis import durability
from securemem.redis.schedule import next_snapshot
from securemem.testing import assert_absent, assert_found, make_canary
from securemem.testing.backend.hooks import handle
from securemem.testing.servers import RedisServer, wait_until

NOW = 1_800_000_000
USUAL = b"3600 1 300 100 60 10000"


def _facts(**other: Any) -> dict[str, str]:
    facts = {
        "server_time_usec": NOW * 1_000_000 + 5,
        "rdb_last_save_time": NOW - 100,
        "rdb_changes_since_last_save": 1,
        "rdb_last_bgsave_time_sec": 2,
        "rdb_last_bgsave_status": "ok",
        "rdb_bgsave_in_progress": 0,
    }
    return {name: str(value) for name, value in (facts | other).items()}


@pytest.mark.parametrize(
    ("save", "facts", "seconds"),
    [
        (USUAL, {}, 3600 - 100 + 60),
        (USUAL, {"rdb_changes_since_last_save": 100}, 300 - 100 + 60),
        (USUAL, {"rdb_changes_since_last_save": 10_000}, 60),  # overdue: it begins at once
        (USUAL, {"rdb_last_bgsave_time_sec": 400}, 3600 - 100 + 800),
        (USUAL, {"rdb_last_bgsave_time_sec": -1}, 3600 - 100 + 60),
        (USUAL, {"rdb_bgsave_in_progress": 1, "rdb_changes_since_last_save": 10_000}, 3600 + 2 * 60),
    ],
)
def test_a_date(save: bytes, facts: dict[str, Any], seconds: int) -> None:
    """It is the first period whose changes there are, from the last snapshot, and the time to write it."""
    assert next_snapshot(_facts(**facts), save) == datetime.fromtimestamp(NOW + seconds, UTC)


@pytest.mark.parametrize(
    ("save", "facts"),
    [
        (b"", {}),
        (b"300 100", {}),
        (b"nonsense", {}),
        (b"999999999999999999 1", {}),
        (USUAL, {"rdb_last_bgsave_status": "err"}),
        (USUAL, {"server_time_usec": ""}),
        (b"300 100", {"rdb_bgsave_in_progress": 1, "rdb_changes_since_last_save": 500}),
    ],
)
def test_no_date(save: bytes, facts: dict[str, Any]) -> None:
    """Where none is due for what has changed, the last one failed, or the server does not say, there is none."""
    assert next_snapshot(_facts(**facts), save) is None
    assert next_snapshot({}, USUAL) is None


async def test_the_date_holds() -> None:
    """Of a user who may take no snapshot, the residue has the date by which the server has taken the next."""
    with RedisServer(settings={"appendonly": "no", "save": "2 1", "rdbcompression": "no"}) as server:
        with server.client() as client:
            client.execute_command("ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-bgsave")
        backend = RedisBackend(f"redis://app:secret@127.0.0.1:{server.port}/0", {}, prefix="app:")
        await backend.open()
        canary, session = make_canary(), handle()
        assert await backend.swap(Change(session, b"", b"head", rows=[(1, canary.encode())])) is None
        with server.client() as client:
            client.save()
        assert_found([server.data], canary)
        await backend.delete([session], heads=True)
        began = datetime.now(UTC)
        snapshot = next(left for left in await backend.purge(0.5) if left.what == durability._RDB.refused)
        assert snapshot.until is not None
        assert timedelta(seconds=55) < snapshot.until - began < timedelta(seconds=70)
        await asyncio.to_thread(wait_until, lambda: not _holds(server, canary), "the next snapshot is taken")
        assert_absent([server.data], canary)
        await backend.aclose()


def _holds(server: RedisServer, canary: str) -> bool:
    try:
        return bool(assert_found([server.data], canary))
    except AssertionError:
        return False
