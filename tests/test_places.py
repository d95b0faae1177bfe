"""Where keys lie on this machine for data on a server: one folder a deployment, however its URL is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis.sentinel
from redis.asyncio.sentinel import Sentinel

from securemem.adapters import url_of
from securemem.config import Settings
from securemem.places import home


def _home(url: str, prefix: str | None = None) -> Path:
    settings = Settings(
        url=url, keystore=None, ledger=None, kms=None, table_name=None, prefix=prefix, replica=None, servers={}
    )
    return home(settings)


@pytest.mark.parametrize(
    "forms",
    [
        ("redis://127.0.0.1", "redis://127.0.0.1:6379", "redis://:secret@127.0.0.1:6379/0", "rediss://127.0.0.1/0"),
        ("redis://[::1]", "redis://[::1]:6379/0"),
        ("redis+sentinel://a,b:26379/main", "redis+sentinel://a:26379,b/main"),
        ("postgresql://me:secret@host/data", "postgresql://host:5432/data"),
        ("postgresql://host/data", "postgres://host/data", "postgres://me@host:5432/data"),
        (
            "postgresql://host:5433/data",
            "postgresql:///data?host=host&port=5433",
            "postgresql://?host=host:5433&dbname=data",
        ),
        ("postgresql://data@host", "postgresql://me@host/data", "postgresql://host?user=me&database=data"),
    ],
)
def test_one_folder_for_one_place(forms: tuple[str, ...]) -> None:
    """User, password, TLS, the usual port and the first database say nothing of which deployment it is."""
    assert len({_home(url) for url in forms}) == 1


@pytest.mark.parametrize("kind", [Sentinel, redis.sentinel.Sentinel])
def test_sentinels_by_a_client(kind: type[Sentinel]) -> None:
    """Services that are called alike are told apart by their sentinels, in whichever order these are asked."""

    def by(*ports: int, db: int = 0) -> Path:
        sentinel = kind([("127.0.0.1", port) for port in ports])
        return _home(url_of(sentinel.master_for("main", db=db, password="secret"), None))

    assert by(1, 2, 3) == by(2, 3, 1) == _home("redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/main")
    assert len({by(1, 2, 3), by(4, 5, 6), by(1, 2, 3, db=7)}) == 3


def test_other_places_have_other_folders() -> None:
    """Another host, port, database or prefix is another deployment's."""
    urls = ["redis://a", "redis://b", "redis://a:7000", "redis://a/1", "postgresql://a/x", "postgresql://a/y"]
    assert len({_home(url) for url in urls} | {_home("redis://a", prefix="app:")}) == len(urls) + 1


def test_what_stands_in_the_query_tells_places_apart() -> None:
    """Host, port and database that a URL of PostgreSQL names in its query, as the driver takes them, are looked at."""
    queries = ["", "dbname=a", "dbname=b", "database=c", "host=h", "host=h&port=7000", "host=h,i&port=7000", "user=u"]
    assert len({_home(f"postgresql://?{query}") for query in queries}) == len(queries)
    # What stands before the query counts.
    assert _home("postgresql://a/x?host=b&port=1&dbname=y") == _home("postgresql://a/x")
