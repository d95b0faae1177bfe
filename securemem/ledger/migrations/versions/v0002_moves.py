"""Moves of tenants from one server to another."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.ledger.migrations.names import named

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of moves."""
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        named("moves"),
        sa.Column("counter", serial, sa.ForeignKey(f"{named('acts')}.counter"), primary_key=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("backups_until", sa.BigInteger, nullable=True),
        sa.Column("cleaned_at", sa.BigInteger, nullable=True),
        sa.Column("residue", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
