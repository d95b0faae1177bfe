"""What operators and people's rights ask of an open store; made when it is first asked for, for a chat does without."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from securemem.keys.rotation import Rotation
from securemem.ledger.audit import Audit, Event, EventKind, rule_name
from securemem.ledger.holds import Holds
from securemem.model import to_milliseconds
from securemem.retention.gate import Gate
from securemem.retention.keeper import Keeper
from securemem.retention.sweep import Sweep
from securemem.rights.awaiting import Awaiting
from securemem.rights.closing import Closing
from securemem.rights.erase import Erasure
from securemem.rights.export import Export
from securemem.rights.hold import Holding
from securemem.rights.holdings import Selector
from securemem.rights.kept import Kept
from securemem.rights.notice import rewrap_all
from securemem.rights.rectify import Rectifying
from securemem.rights.requests import Requesting
from securemem.rights.rest import Rest
from securemem.rights.restrict import Restricting
from securemem.rights.telling import Telling

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
    """Erases, exports, holds, restricts, rectifies, and carries out the policy's rules about time, in one tenant."""

    def __init__(self, stock: Stock) -> None:
        """Put its rooms together."""
        backend, keyring, ledger = stock.backend, stock.keyring, stock.ledger
        lives, policy, clock = stock.lives, stock.policy, stock.clock
        gate = Gate(ledger, keyring.tenant, policy)
        self.kept = Kept(keyring, ledger=ledger, clock=clock, policy=policy.digest)
        self.sweep = Sweep(
            backend, keyring, stock.destruction, ledger=ledger, lives=lives, clock=clock, policy=policy.digest
        )
        self.keeper = Keeper(policy, backend, keyring, ledger, lives, self.sweep, gate, clock, stock.deployment)
        rest = Rest(backend, keyring, ledger, clock)
        self.telling = Telling(keyring, ledger, clock, policy)
        self.closing = Closing(keyring, ledger, clock, policy)
        self.rotation = Rotation(
            keyring,
            clock,
            rewrap=lambda epoch: rewrap_all(ledger, keyring.kms, epoch),
            write_down=lambda epoch: _write_down(stock, epoch),
        )
        self.erasure = Erasure(
            stock.destruction,
            keyring,
            ledger,
            clock,
            policy,
            kept=self.kept,
            rest=rest,
            telling=self.telling,
            lasting=stock.lasting,
        )
        self.selector = Selector(backend, keyring, ledger)
        self.export = Export(
            self.selector,
            keyring,
            lives=lives,
            audit=Audit(ledger),
            holds=Holds(ledger, keyring.tenant),
            policy=policy,
            clock=clock,
        )
        self.holding = Holding(backend, keyring, ledger, clock, policy=policy)
        self.rectifying = Rectifying(
            keyring, ledger, stock.destruction, kept=self.kept, lives=lives, clock=clock, policy=policy
        )
        self.restricting = Restricting(backend, keyring, ledger, clock, policy=policy)
        self.requesting = Requesting(
            keyring,
            ledger,
            clock,
            policy,
            erasure=self.erasure,
            restricting=self.restricting,
            telling=self.telling,
            awaiting=Awaiting(keyring, ledger, clock, policy, telling=self.telling, rest=rest),
        )


async def _write_down(stock: Stock, epoch: int) -> None:
    """Write into the audit that an epoch's KEK is destroyed; once, however often that is tried."""
    tenant, at = stock.keyring.tenant, to_milliseconds(stock.clock())
    name = rule_name(str(epoch))
    event = Event(EventKind.CLOSE_EPOCH, tenant, None, None, stock.policy.digest, at, rule=name)
    await Audit(stock.ledger).write_once(event)
