"""The audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.ledger.migrations.names import named

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of audited events."""
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        named("audit"),
        sa.Column("number", serial, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("tenant", sa.LargeBinary, nullable=False),
        sa.Column("person", sa.LargeBinary, nullable=True),
        sa.Column("actor", sa.LargeBinary, nullable=True),
        sa.Column("policy", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
