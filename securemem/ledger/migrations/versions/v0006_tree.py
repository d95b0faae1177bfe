"""The Merkle tree over the audited events, which from now on are numbered without a gap."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from securemem.crypto.merkle import Frontier
from securemem.ledger.migrations.names import named

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_PAGE = 1000


def upgrade() -> None:
    """Add the column of nodes, and work out those of the events that are there, closing the gaps between them."""
    op.add_column(named("audit"), sa.Column("node", sa.LargeBinary, nullable=True))
    columns = (sa.column("number", sa.BigInteger), sa.column("hash", sa.LargeBinary), sa.column("node", sa.LargeBinary))
    audit = sa.table(named("audit"), *columns)
    connection, tree, last = op.get_bind(), Frontier(), 0
    first = sa.select(audit.c.number, audit.c.hash).order_by(audit.c.number).limit(_PAGE)
    while rows := connection.execute(first.where(audit.c.number > last)).all():
        for last, entry in rows:
            node = tree.append(entry)
            here = audit.update().where(audit.c.number == last)
            connection.execute(here.values(number=tree.size, node=node))


def downgrade() -> None:
    """Refuse: a ledger is never unlearnt."""
    raise RuntimeError("the ledger keeps what was decided; it is not migrated down")
