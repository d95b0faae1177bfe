"""The outbox: notices to recipients, each sealed under a key of its request's own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.ledger.migrations.names import named

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of notices, of the keys that they are sealed under, and of the epoch these are under."""
    op.create_table(
        named("outbox_keys"),
        sa.Column("request", sa.LargeBinary, primary_key=True),
        sa.Column("tenant", sa.LargeBinary, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=True),
        sa.Column("queued_at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("destroyed_at", sa.BigInteger, nullable=True),
    )
    op.create_table(
        named("outbox"),
        sa.Column("request", sa.LargeBinary, sa.ForeignKey(f"{named('outbox_keys')}.request"), primary_key=True),
        sa.Column("recipient", sa.String(64), primary_key=True),
        sa.Column("url_env", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=True),
        sa.Column("ack_by", sa.BigInteger, nullable=False),
        sa.Column("acked_at", sa.BigInteger, nullable=True),
        sa.Column("given_up_at", sa.BigInteger, nullable=True),
        sa.Column("status", sa.SmallInteger, nullable=True),
    )
    op.create_index(named("outbox_due"), named("outbox"), ["next_at"])
    op.create_table(
        named("outbox_floor"),
        sa.Column("one", sa.SmallInteger, primary_key=True),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.CheckConstraint("one = 1", name="only_one_floor"),
    )


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
