"""Retention: classes, holds, leases of workers, the policies in force, and what audited events count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.ledger.migrations.names import named

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables that retention needs, and the columns of events that say of what and how many."""
    for name, kind in (("session", sa.LargeBinary), ("rule", sa.LargeBinary), ("records", sa.BigInteger)):
        op.add_column(named("audit"), sa.Column(name, kind, nullable=True))
    op.create_table(
        named("classes"),
        sa.Column("tenant", sa.LargeBinary, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("facts", sa.Text, nullable=False),
    )
    op.create_table(
        named("holds"),
        sa.Column("id", sa.LargeBinary, primary_key=True),
        sa.Column("tenant", sa.LargeBinary, nullable=False),
        sa.Column("person", sa.LargeBinary, nullable=False),
        sa.Column("session", sa.LargeBinary, nullable=True),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("placed_at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("released_at", sa.BigInteger, nullable=True),
        sa.Column("asked_by", sa.LargeBinary, nullable=True),
    )
    op.create_table(
        named("leases"),
        sa.Column("tenant", sa.LargeBinary, primary_key=True),
        sa.Column("name", sa.LargeBinary, primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        named("policies"),
        sa.Column("number", serial, primary_key=True, autoincrement=True),
        sa.Column("tenant", sa.LargeBinary, nullable=False),
        sa.Column("policy", sa.LargeBinary, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("actor", sa.LargeBinary, nullable=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("applied", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        named("passes"),
        sa.Column("tenant", sa.LargeBinary, primary_key=True),
        sa.Column("policy", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("oldest", sa.BigInteger, nullable=True),
    )


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
