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

from securemem.ledger.names import Namer

_Serial = BigInteger().with_variant(Integer, "sqlite")


class Tables:
    """The tables, by the names that they have in one place."""

    def __init__(self, named: Namer) -> None:
        self.metadata = MetaData()
        self.stamp = Table(
            named("stamp"),
            self.metadata,
            Column("one", SmallInteger, primary_key=True),
            Column("deployment", LargeBinary, nullable=False),
            CheckConstraint("one = 1", name="only_one"),
        )
        self.acts = Table(
            named("acts"),
            self.metadata,
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
        self.tombstones = Table(
            named("tombstones"),
            self.metadata,
            Column("counter", _Serial, ForeignKey(self.acts.c.counter), primary_key=True),
            Column("session", LargeBinary, primary_key=True),
            Column("generation", Integer, nullable=False),
            Column("guest", Boolean, nullable=False),
        )
        self.moves = Table(
            named("moves"),
            self.metadata,
            Column("counter", _Serial, ForeignKey(self.acts.c.counter), primary_key=True),
            Column("source", String(64), nullable=False),
            Column("target", String(64), nullable=False),
            Column("backups_until", BigInteger, nullable=True),
            Column("cleaned_at", BigInteger, nullable=True),
            Column("residue", Text, nullable=False),
        )
        self.audit = Table(
            named("audit"),
            self.metadata,
            Column("number", _Serial, primary_key=True, autoincrement=True),
            Column("kind", String(16), nullable=False),
            Column("tenant", LargeBinary, nullable=False),
            Column("person", LargeBinary, nullable=True),
            Column("actor", LargeBinary, nullable=True),
            Column("policy", LargeBinary, nullable=False),
            Column("at", BigInteger, nullable=False),
            Column("hash", LargeBinary, nullable=False),
            Column("session", LargeBinary, nullable=True),
            Column("rule", LargeBinary, nullable=True),
            Column("records", BigInteger, nullable=True),
            sqlite_autoincrement=True,
        )
        self.classes = Table(
            named("classes"),
            self.metadata,
            Column("tenant", LargeBinary, primary_key=True),
            Column("number", BigInteger, primary_key=True, autoincrement=False),
            Column("facts", Text, nullable=False),
        )
        self.holds = Table(
            named("holds"),
            self.metadata,
            Column("id", LargeBinary, primary_key=True),
            Column("tenant", LargeBinary, nullable=False),
            Column("person", LargeBinary, nullable=False),
            Column("session", LargeBinary, nullable=True),
            Column("reason", String(64), nullable=False),
            Column("placed_at", BigInteger, nullable=False),
            Column("kind", String(16), nullable=False),
            Column("released_at", BigInteger, nullable=True),
            Column("asked_by", LargeBinary, nullable=True),
        )
        self.leases = Table(
            named("leases"),
            self.metadata,
            Column("tenant", LargeBinary, primary_key=True),
            Column("name", LargeBinary, primary_key=True),
            Column("token", BigInteger, nullable=False),
            Column("until", BigInteger, nullable=False),
        )
        self.policies = Table(
            named("policies"),
            self.metadata,
            Column("number", _Serial, primary_key=True, autoincrement=True),
            Column("tenant", LargeBinary, nullable=False),
            Column("policy", LargeBinary, nullable=False),
            Column("document", Text, nullable=False),
            Column("actor", LargeBinary, nullable=True),
            Column("at", BigInteger, nullable=False),
            Column("applied", Boolean, nullable=False),
            sqlite_autoincrement=True,
        )
        self.passes = Table(
            named("passes"),
            self.metadata,
            Column("tenant", LargeBinary, primary_key=True),
            Column("policy", LargeBinary, nullable=False),
            Column("at", BigInteger, nullable=False),
            Column("records", BigInteger, nullable=False),
            Column("oldest", BigInteger, nullable=True),
        )
