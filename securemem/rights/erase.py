"""Erasure of a person (GDPR Art. 17): everything of theirs is destroyed, and a receipt says what is left."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta

from securemem.destruction import Destruction, Outcome
from securemem.keys.keyring import CACHE_SECONDS, Keyring
from securemem.keys.rows import UserRow
from securemem.ledger.acts import Act
from securemem.ledger.moves import Moves
from securemem.ledger.store import Ledger
from securemem.model import Residue, ResidueKind, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.residue import Lasting
from securemem.rights.kept import Kept
from securemem.rights.receipt import LOGICAL, SHREDDED, Receipt, issue


class Erasure:
    """Erases people from one tenant."""

    def __init__(
        self,
        destruction: Destruction,
        keyring: Keyring,
        ledger: Ledger,
        clock: Clock,
        policy: Policy,
        *,
        kept: Kept,
        moves: Moves,
        lasting: Lasting,
    ) -> None:
        """Take the rooms that it needs, and what the operator states of copies."""
        self._kept = kept
        self._destruction = destruction
        self._keyring = keyring
        self._ledger = ledger
        self._clock = clock
        self._policy = policy
        self._moves = moves
        self._lasting = lasting
        self._interrupted: dict[str, Act] = {}
        self._one_at_a_time = asyncio.Lock()

    async def erase(self, user_id: str, *, purge_seconds: float) -> Receipt:
        """Erase a person; of somebody who is not known the receipt says that nothing is held.

        Raises:
            LegalHoldError: something has to be kept; nothing was erased.

        Once it is decided, a failure is followed by the rest of the same act, here or when the store is opened; who
        came back since is erased too.
        """
        async with self._one_at_a_time:
            receipt = None
            act = self._interrupted.get(user_id)
            if act is not None:
                [act, *_] = await self._ledger.acts(after=act.counter - 1)
                receipt = await self._finish(user_id, act, purge_seconds)
            while (row := await self._keyring.find_user(user_id)) is not None:
                await self._check(row)
                act = self._interrupted[user_id] = await self._destruction.decide(row)
                receipt = await self._finish(user_id, act, purge_seconds)
            return receipt or self._receipt(Outcome(purged={"data", "keystore"}))

    async def check(self, user_id: str) -> None:
        """Refuse an erasure that could not be carried out whole, before anybody is told of it.

        Raises:
            LegalHoldError: something of the person has to be kept.
        """
        row = await self._keyring.find_user(user_id)
        if row is not None:
            await self._check(row)

    async def _check(self, row: UserRow) -> None:
        own, visited = await self._keyring.keystore.sessions_of(row.number)
        await self._kept.check(row.handle, own, visited=visited)

    async def _finish(self, user_id: str, act: Act, purge_seconds: float) -> Receipt:
        outcome = await self._destruction.carry_out(act, purge_seconds=purge_seconds)
        for move in await self._moves.of(self._keyring.tenant):
            outcome.residue += move.left(self._clock(), self._lasting)
        receipt = self._receipt(outcome)
        await self._ledger.finish(act.counter, at=to_milliseconds(receipt.at), receipt=receipt.to_json())
        self._interrupted.pop(user_id, None)
        return receipt

    def _receipt(self, outcome: Outcome) -> Receipt:
        at = self._clock()
        held = outcome.user is not None
        residue = list(outcome.residue)
        residue += [
            Residue("recipients", f"what recipient {name!r} was given: tell them")
            for name in (self._policy.recipients if held else ())
        ]
        if held:
            residue += [
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
            },
            "keystore": {"state": state, "user_keys": int(held), "session_keys": outcome.sessions},
            "ledger": {"state": "KEPT", "tombstone": outcome.counter},
        }
        return issue(
            self._keyring.signer,
            receipt_id=secrets.token_hex(16),
            handle=outcome.user,
            tenant=self._keyring.tenant,
            state=state,
            at=at,
            stores=stores,
            residue=self._lasting.dated(residue, at),
            policy={"name": self._policy.name, "sha256": self._policy.sha256},
        )
