"""The ledger's tables, for SQLite and PostgreSQL alike. The migrations equal them, and a test holds it so."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

metadata = MetaData()
_Serial = BigInteger().with_variant(Integer, "sqlite")

stamp = Table(
    "securemem_stamp",
    metadata,
    Column("one", SmallInteger, primary_key=True),
    Column("deployment", LargeBinary, nullable=False),
    CheckConstraint("one = 1", name="only_one"),
)

acts = Table(
    "acts",
    metadata,
    Column("counter", _Serial, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("tenant", LargeBinary, nullable=False),
    Column("person", LargeBinary, nullable=True),
    Column("generation", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("done_at", BigInteger, nullable=True),
    Column("receipt", Text, nullable=True),
    sqlite_autoincrement=True,
)

tombstones = Table(
    "tombstones",
    metadata,
    Column("counter", _Serial, ForeignKey("acts.counter"), primary_key=True),
    Column("session", LargeBinary, primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("guest", Boolean, nullable=False),
)
