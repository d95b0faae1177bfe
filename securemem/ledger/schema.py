"""The ledger's tables, for SQLite and PostgreSQL alike. The migrations equal them, and a test holds it so."""

from __future__ import annotations

from functools import cache

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
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
        self.stamp = _stamp(named, self.metadata)
        self.acts = _acts(named, self.metadata)
        self.tombstones = _tombstones(named, self.metadata, self.acts)
        self.moves = _moves(named, self.metadata, self.acts)
        self.audit = _audit(named, self.metadata)
        self.classes = _classes(named, self.metadata)
        self.holds = _holds(named, self.metadata)
        self.leases = _leases(named, self.metadata)
        self.policies = _policies(named, self.metadata)
        self.passes = _passes(named, self.metadata)
        self.requests = _requests(named, self.metadata, self.acts)
        self.outbox_keys = _outbox_keys(named, self.metadata)
        self.outbox = _outbox(named, self.metadata, self.outbox_keys)
        self.outbox_floor = _outbox_floor(named, self.metadata)


@cache
def tables_of(named: Namer) -> Tables:
    """Give the tables by the names of one place; describing them takes some milliseconds, so it is done once."""
    return Tables(named)


def _stamp(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("stamp"),
        metadata,
        Column("one", SmallInteger, primary_key=True),
        Column("deployment", LargeBinary, nullable=False),
        CheckConstraint("one = 1", name="only_one"),
    )


def _acts(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("acts"),
        metadata,
        Column("counter", _Serial, primary_key=True, autoincrement=True),
        Column("kind", String(16), nullable=False),
        Column("tenant", LargeBinary, nullable=False),
        Column("person", LargeBinary, nullable=True),
        Column("generation", Integer, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("done_at", BigInteger, nullable=True),
        Column("receipt", Text, nullable=True),
        Column("rules", Text, nullable=True),
        sqlite_autoincrement=True,
    )


def _tombstones(named: Namer, metadata: MetaData, acts: Table) -> Table:
    return Table(
        named("tombstones"),
        metadata,
        Column("counter", _Serial, ForeignKey(acts.c.counter), primary_key=True),
        Column("session", LargeBinary, primary_key=True),
        Column("generation", Integer, nullable=False),
        Column("guest", Boolean, nullable=False),
    )


def _moves(named: Namer, metadata: MetaData, acts: Table) -> Table:
    return Table(
        named("moves"),
        metadata,
        Column("counter", _Serial, ForeignKey(acts.c.counter), primary_key=True),
        Column("source", String(64), nullable=False),
        Column("target", String(64), nullable=False),
        Column("backups_until", BigInteger, nullable=True),
        Column("cleaned_at", BigInteger, nullable=True),
        Column("residue", Text, nullable=False),
    )


def _audit(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("audit"),
        metadata,
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
        Column("node", LargeBinary, nullable=True),
        sqlite_autoincrement=True,
    )


def _classes(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("classes"),
        metadata,
        Column("tenant", LargeBinary, primary_key=True),
        Column("number", BigInteger, primary_key=True, autoincrement=False),
        Column("facts", Text, nullable=False),
    )


def _holds(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("holds"),
        metadata,
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


def _leases(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("leases"),
        metadata,
        Column("tenant", LargeBinary, primary_key=True),
        Column("name", LargeBinary, primary_key=True),
        Column("token", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False),
    )


def _policies(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("policies"),
        metadata,
        Column("number", _Serial, primary_key=True, autoincrement=True),
        Column("tenant", LargeBinary, nullable=False),
        Column("policy", LargeBinary, nullable=False),
        Column("document", Text, nullable=False),
        Column("actor", LargeBinary, nullable=True),
        Column("at", BigInteger, nullable=False),
        Column("applied", Boolean, nullable=False),
        sqlite_autoincrement=True,
    )


def _passes(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("passes"),
        metadata,
        Column("tenant", LargeBinary, primary_key=True),
        Column("policy", LargeBinary, nullable=False),
        Column("at", BigInteger, nullable=False),
        Column("records", BigInteger, nullable=False),
        Column("oldest", BigInteger, nullable=True),
    )


def _requests(named: Namer, metadata: MetaData, acts: Table) -> Table:
    return Table(
        named("requests"),
        metadata,
        Column("id", LargeBinary, primary_key=True),
        Column("tenant", LargeBinary, nullable=False),
        Column("kind", String(16), nullable=False),
        Column("regime", String(16), nullable=False),
        Column("person", LargeBinary, nullable=True),
        Column("state", String(16), nullable=False),
        Column("received_at", BigInteger, nullable=False),
        Column("due_at", BigInteger, nullable=False),
        Column("verified_at", BigInteger, nullable=True),
        Column("extended_at", BigInteger, nullable=True),
        Column("paused_at", BigInteger, nullable=True),
        Column("basis", String(32), nullable=True),
        Column("same_as", LargeBinary, nullable=True),
        Column("act", _Serial, ForeignKey(acts.c.counter), nullable=True),
        Column("changed_at", BigInteger, nullable=False),
        Column("done_at", BigInteger, nullable=True),
    )


def _outbox_keys(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("outbox_keys"),
        metadata,
        Column("request", LargeBinary, primary_key=True),
        Column("tenant", LargeBinary, nullable=False),
        Column("kind", String(16), nullable=False),
        Column("epoch", Integer, nullable=False),
        Column("wrapped", LargeBinary, nullable=True),
        Column("queued_at", BigInteger, nullable=False),
        Column("until", BigInteger, nullable=False),
        Column("destroyed_at", BigInteger, nullable=True),
    )


def _outbox(named: Namer, metadata: MetaData, keys: Table) -> Table:
    return Table(
        named("outbox"),
        metadata,
        Column("request", LargeBinary, ForeignKey(keys.c.request), primary_key=True),
        Column("recipient", String(64), primary_key=True),
        Column("url_env", Text, nullable=False),
        Column("sealed", LargeBinary, nullable=True),
        Column("attempts", Integer, nullable=False),
        Column("next_at", BigInteger, nullable=True),
        Column("ack_by", BigInteger, nullable=False),
        Column("acked_at", BigInteger, nullable=True),
        Column("given_up_at", BigInteger, nullable=True),
        Column("status", SmallInteger, nullable=True),
        Index(named("outbox_due"), "next_at"),
    )


def _outbox_floor(named: Namer, metadata: MetaData) -> Table:
    return Table(
        named("outbox_floor"),
        metadata,
        Column("one", SmallInteger, primary_key=True),
        Column("epoch", Integer, nullable=False),
        CheckConstraint("one = 1", name="only_one_floor"),
    )
