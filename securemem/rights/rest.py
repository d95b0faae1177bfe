"""What is left of a person after an erasure, and the receipt that says so."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.demands import COPY
from securemem.ending import Outcome
from securemem.errors import IntegrityError
from securemem.keys.held import CACHE_SECONDS
from securemem.keys.keyring import Keyring
from securemem.keys.rows import DESTROYED
from securemem.ledger.acts import Act
from securemem.ledger.audit import EventKind, prove_newest, rule_name, rules_since
from securemem.ledger.holds import Hold, Kind, select_holds
from securemem.ledger.moves import Move, all_moves
from securemem.ledger.outbox import Answer, select_answers
from securemem.ledger.store import Ledger
from securemem.ledger.tree import Inclusion
from securemem.model import NEVER, Residue, ResidueKind, from_milliseconds
from securemem.policy import Policy
from securemem.policy.rules import rules_of
from securemem.ports import Backend, Clock
from securemem.residue import Lasting
from securemem.rights.receipt import BACKUP_CLOSED, LOGICAL, SHREDDED, Receipt, issue
from securemem.rights.told import standing_of

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

EPOCH_OPEN, EPOCH_DESTROYED = "OPEN", "DESTROYED"
"""Of the KEK under which keystore backups from before the erasure are wrapped."""


class Part(NamedTuple):
    """Records that outlive an erasure: how many, and until when in milliseconds; NEVER while a hold is on them."""

    records: int
    until: int


class Left(NamedTuple):
    """What is left after an erasure, and what says that it was decided.

    Attributes:
        parts: what is preserved of the person, session by session.
        holds: all that stand in the tenant.
        moves: of the tenant, from servers that may have something yet.
        inclusion: that the erasure is in the audit; None where that does not hold.
        answers: of the recipients who are told of it.
        kept_by: the rules by which something was preserved since, as `rule_name` gives them.
    """

    parts: list[Part]
    holds: list[Hold]
    moves: list[Move]
    inclusion: Inclusion | None
    answers: Sequence[Answer] = ()
    kept_by: frozenset[bytes] = frozenset()


class Rest:
    """Knows what is left, in one tenant."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, clock: Clock) -> None:
        """Take the stores."""
        self._backend = backend
        self._keyring = keyring
        self._clock = clock
        self._ledger = ledger

    async def after(self, outcome: Outcome, *, request: bytes | None = None) -> Left:
        """Find out what is left of a person just after an erasure, and of whom a request's recipients have answered."""
        person, tenant = outcome.user, self._keyring.tenant
        if person is None:
            return Left([], [], [], None)

        async def work(connection: AsyncConnection, tables: Tables) -> Left:
            holds = await select_holds(connection, tables, tenant)
            moves = [move for move in await all_moves(connection, tables) if move.tenant == tenant]
            answers = await select_answers(connection, tables, request) if request is not None else []
            try:
                inclusion = await prove_newest(connection, tables, EventKind.ERASE, person)
            except IntegrityError:
                inclusion = None  # an audit that was tampered with keeps nobody from being forgotten
            kept_by = await rules_since(connection, tables, person, inclusion.number) if inclusion else frozenset()
            return Left([], holds, moves, inclusion, answers, kept_by)

        found = await self._ledger.transact(work)
        preserved = [
            each.session
            for each in found.holds
            if each.kind == Kind.PRESERVED and each.person == person and each.reason == COPY and each.session
        ]
        parts = [part for session in preserved if (part := await self._part(session)) is not None]
        return found._replace(parts=parts, holds=[each for each in found.holds if each.kind == Kind.HOLD])

    async def _part(self, session: bytes) -> Part | None:
        raw, _ = await self._backend.tail(session, 0)
        try:
            head = self._keyring.head_seal(session).decode(raw) if raw else None
        except IntegrityError:
            return Part(0, NEVER)
        return Part(head.live, head.due) if head is not None and not head.closed else None

    def basis(self, act: Act, left: Left) -> str | None:
        """Give the article by which a part is kept: of the first rule that kept any, or could where another act did."""
        rules = [rule for rule in rules_of(act.rules).rules if rule.basis] if act.rules is not None else []
        kept_by = [rule for rule in rules if rule_name(rule.id) in left.kept_by] or rules
        return kept_by[0].basis if kept_by else None

    async def receipt(self, outcome: Outcome, left: Left, policy: Policy, lasting: Lasting) -> Receipt:
        """Say what an erasure did, and sign it.

        Args:
            outcome: of the destruction.
            left: what it has left.
            policy: in force.
            lasting: what the operator states of copies.
        """
        at = self._clock()
        known = outcome.user is not None
        residue = list(outcome.residue)
        for move in left.moves:
            residue += move.left(at, lasting)
        if known:
            residue += [
                *standing_of(left.answers, policy.recipients).residue,
                Residue(
                    "process",
                    "keys, and messages opened with them, in the memory of other processes that had them cached",
                    at + timedelta(seconds=CACHE_SECONDS),
                ),
                Residue(
                    "kms",
                    "backups of the keystore from before this erasure open with the KEK of epoch "
                    f"{self._keyring.open_epoch}, until that epoch is closed and its KEK's own backups are gone",
                    kind=ResidueKind.COPY,
                ),
            ]
        state = SHREDDED if "keystore" in outcome.purged else LOGICAL
        stores = {
            "data": {
                "state": SHREDDED if "data" in outcome.purged else LOGICAL,
                "sessions": outcome.sessions,
                "records": outcome.records,
                "preserved": sum(part.records for part in left.parts),
                "held": outcome.held,
            },
            "keystore": {"state": state, "user_keys": int(known), "session_keys": outcome.sessions},
            "ledger": {"state": "KEPT", "tombstone": outcome.counter},
            "kms": {"state": EPOCH_OPEN, "epoch": self._keyring.open_epoch},
        }
        return issue(
            self._keyring.signer,
            receipt_id=secrets.token_hex(16),
            handle=outcome.user,
            tenant=self._keyring.tenant,
            state=state,
            at=at,
            stores=stores,
            residue=[*lasting.dated(residue, at), *_kept(left.parts, outcome.held)],
            policy={"name": policy.name, "sha256": policy.sha256},
            inclusion=left.inclusion,
        )

    async def closed(self, document: dict[str, Any], lasting: Lasting) -> Receipt | None:
        """Give the receipt that says that no backup of the keystore opens what was erased; None while one may.

        That is so once the KEK's epoch is destroyed, and its own backups and those of the keystore are past, as the
        operator states (`backup_days`).

        Args:
            document: the receipt of the erasure, as it was given.
            lasting: what the operator states of copies.
        """
        old = document["receipt"]
        kms = old["stores"].get("kms")
        if old["state"] != SHREDDED or kms is None or lasting.backups is None:
            return None
        rows = {row.epoch: row for row in await self._keyring.keystore.epochs()}
        row, now = rows.get(kms["epoch"]), self._clock()
        if row is None or row.state != DESTROYED:
            return None
        since = max(from_milliseconds(row.since), datetime.fromisoformat(old["at"]))
        if now < since + lasting.backups:
            return None
        stores = old["stores"] | {
            "keystore": old["stores"]["keystore"] | {"state": BACKUP_CLOSED},
            "kms": kms | {"state": EPOCH_DESTROYED},
        }
        left = [_residue(each) for each in old["residue"] if each["store"] != "kms"]
        return await self._anew(old | {"state": BACKUP_CLOSED, "stores": stores}, left)

    async def told(self, document: dict[str, Any], recipients: Sequence[Residue]) -> Receipt:
        """Give the receipt that says how far the recipients came, once none of them is waited for.

        Args:
            document: the receipt of the erasure, as it was given.
            recipients: what those have still who did not confirm.
        """
        old = document["receipt"]
        left = [_residue(each) for each in old["residue"] if each["store"] != "recipients"]
        return await self._anew(old, [*recipients, *left])

    async def _anew(self, old: dict[str, Any], left: list[Residue]) -> Receipt:
        person, now = bytes.fromhex(old["handle"]), self._clock()
        return issue(
            self._keyring.signer,
            receipt_id=secrets.token_hex(16),
            handle=person,
            tenant=self._keyring.tenant,
            state=old["state"],
            at=now,
            stores=old["stores"],
            residue=[each for each in left if each.until is None or each.until > now],
            policy=old["policy"],
            inclusion=(await self.after(Outcome(user=person))).inclusion,
        )


def _residue(entry: dict[str, Any]) -> Residue:
    until = datetime.fromisoformat(entry["until"]) if entry["until"] is not None else None
    return Residue(entry["store"], entry["what"], until)


def _kept(parts: list[Part], held: int) -> list[Residue]:
    found = [
        Residue(
            "data",
            f"{part.records} records that a law demands to keep: sealed anew, and read by nobody",
            from_milliseconds(part.until) if part.until != NEVER else None,
        )
        for part in parts
    ]
    if held:
        found.append(Residue("data", f"{held} sessions that a legal hold is on: read by nobody until its release"))
    return found
