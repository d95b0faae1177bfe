"""Requests of people, and the rules about keeping that an act was decided under."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.ledger.migrations.names import named

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of requests, and the column of acts that says what was to be kept."""
    op.add_column(named("acts"), sa.Column("rules", sa.Text, nullable=True))
    op.create_table(
        named("requests"),
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("tenant", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("regime", sa.String(16), nullable=False),
        sa.Column("person", sa.LargeBinary, nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("verified_at", sa.BigInteger, nullable=True),
        sa.Column("extended_at", sa.BigInteger, nullable=True),
        sa.Column("paused_at", sa.BigInteger, nullable=True),
        sa.Column("basis", sa.String(32), nullable=True),
        sa.Column("same_as", sa.LargeBinary, nullable=True),
        sa.Column(
            "act",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            sa.ForeignKey(f"{named('acts')}.counter"),
            nullable=True,
        ),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger, nullable=True),
    )


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
