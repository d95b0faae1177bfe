"""What operators and people's rights ask of an open store; made when it is first asked for, for a chat does without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from securemem.ledger.audit import Audit
from securemem.ledger.moves import Moves
from securemem.retention.gate import Gate
from securemem.retention.keeper import Keeper
from securemem.retention.sweep import Sweep
from securemem.rights.erase import Erasure
from securemem.rights.export import Export
from securemem.rights.hold import Holding
from securemem.rights.kept import Kept
from securemem.rights.restrict import Restricting

if TYPE_CHECKING:
    from securemem.destruction import Destruction
    from securemem.keys.keyring import Keyring
    from securemem.ledger.store import Ledger
    from securemem.lives import Lives
    from securemem.policy import Policy
    from securemem.ports import Backend, Clock
    from securemem.residue import Lasting


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What the office works with, of one tenant.

    Attributes:
        lasting: what the operator states of copies.
        deployment: its id.
    """

    backend: Backend
    keyring: Keyring
    ledger: Ledger
    destruction: Destruction
    lives: Lives
    policy: Policy
    clock: Clock
    lasting: Lasting
    deployment: bytes


class Office:
    """Erases, exports, holds, restricts, and carries out the policy's rules about time, in one tenant."""

    def __init__(self, stock: Stock) -> None:
        """Put its rooms together."""
        backend, keyring, ledger = stock.backend, stock.keyring, stock.ledger
        lives, policy, clock = stock.lives, stock.policy, stock.clock
        gate = Gate(ledger, keyring.tenant, policy)
        self.kept = Kept(backend, keyring, ledger=ledger, lives=lives, clock=clock, policy=policy.digest)
        self.sweep = Sweep(
            backend, keyring, stock.destruction, ledger=ledger, lives=lives, clock=clock, policy=policy.digest
        )
        self.keeper = Keeper(policy, backend, keyring, ledger, lives, self.sweep, gate, clock, stock.deployment)
        self.erasure = Erasure(
            stock.destruction,
            keyring,
            ledger,
            clock,
            policy,
            kept=self.kept,
            moves=Moves(ledger),
            lasting=stock.lasting,
        )
        self.export = Export(backend, keyring, lives=lives, audit=Audit(ledger), policy=policy, clock=clock)
        self.holding = Holding(backend, keyring, ledger, clock, policy=policy)
        self.restricting = Restricting(backend, keyring, ledger, clock, policy=policy)
