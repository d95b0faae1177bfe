"""Runs the migrations on the connection that `ledger.engine` hands over; there is no other way in."""

from __future__ import annotations

from alembic import context

from securemem.ledger.names import Namer
from securemem.ledger.schema import tables_of

named: Namer = context.config.attributes["named"]
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables_of(named).metadata,
    version_table=named("version"),
    render_as_batch=True,
    named=named,
)
with context.begin_transaction():
    context.run_migrations()
