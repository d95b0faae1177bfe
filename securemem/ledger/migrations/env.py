"""Runs the migrations on the connection that `ledger.store` hands over; there is no other way in."""

from __future__ import annotations

from alembic import context

from securemem.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
