"""What a step calls the tables: their names in the place that is being migrated."""

from __future__ import annotations

from alembic import op


def named(table: str) -> str:
    """Give a table's name there."""
    name: str = op.get_context().opts["named"](table)
    return name
