"""Acts and tombstones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.ledger.migrations.names import named

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the first tables."""
    serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        named("stamp"),
        sa.Column("one", sa.SmallInteger, primary_key=True),
        sa.Column("deployment", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("one = 1", name="only_one"),
    )
    op.create_table(
        named("acts"),
        sa.Column("counter", serial, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("tenant", sa.LargeBinary, nullable=False),
        sa.Column("person", sa.LargeBinary, nullable=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("done_at", sa.BigInteger, nullable=True),
        sa.Column("receipt", sa.Text, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_table(
        named("tombstones"),
        sa.Column("counter", serial, sa.ForeignKey(f"{named('acts')}.counter"), primary_key=True),
        sa.Column("session", sa.LargeBinary, primary_key=True),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("guest", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
