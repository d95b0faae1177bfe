"""What the ledger's tables are called: plain names in a file of its own, longer ones in a database that others use."""

from __future__ import annotations

from collections.abc import Callable

Namer = Callable[[str], str]
"""Gives a table's name in some place. In `version` Alembic keeps how far the migrations have come."""

_IN_FILE = {"stamp": "securemem_stamp", "version": "alembic_version"}


def in_file(table: str) -> str:
    """Give a table's name in a SQLite file."""
    return _IN_FILE.get(table, table)


def in_database(table: str) -> str:
    """Give a table's name in a PostgreSQL schema."""
    return f"securemem_ledger_{table}"
