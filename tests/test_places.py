"""Where keys lie on this machine for data on a server: one folder a deployment, however its URL is written."""

from __future__ import annotations

from pathlib import Path

import pytest

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
