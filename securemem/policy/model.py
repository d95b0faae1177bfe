"""A policy in force."""

from __future__ import annotations

from dataclasses import dataclass, field

from securemem.policy.durations import Duration
from securemem.policy.rules import Rules
from securemem.policy.schema import Access, Pii, Recipient, Safety

PSEUDONYMISE = "pseudonymise"


@dataclass(frozen=True, slots=True)
class Policy:
    """What was loaded.

    Attributes:
        name: as in its metadata.
        sha256: of its file and of those that it extends, in hex, for receipts.
        pii: how personal data is found and treated; None where it is kept as it is.
        access: who may do what; None where everybody may.
        rules: how long anything is kept.
        safety: what keeps a mistake in them from costing data.
        notify: who has to be told of an erasure, where and by when.
        regimes: the laws that people make requests under, the one that is meant where none is named first.
        log_retention: how long requests are kept that were answered; None for as long as the ledger.
        backup_days: how long copies of the data are kept, by its `erasure.targets.backups`; None where it is silent.
        key_within: by when no older backup of the keystore opens who was erased, by its `erasure.targets.key`.
    """

    name: str
    sha256: str
    pii: Pii | None = None
    access: Access | None = None
    rules: Rules = field(default_factory=Rules)
    safety: Safety = field(default_factory=Safety)
    notify: tuple[Recipient, ...] = ()
    backup_days: int | None = None
    regimes: tuple[str, ...] = ()
    log_retention: Duration | None = None
    key_within: Duration | None = None

    @property
    def digest(self) -> bytes:
        """Its hash as 32 bytes; zeros for one that was not loaded from a file."""
        return bytes.fromhex(self.sha256) if self.sha256 else bytes(32)

    @property
    def recipients(self) -> tuple[str, ...]:
        """The ids of those who have to be told."""
        return tuple(recipient.id for recipient in self.notify)

    def allows(self, actor: str | None, right: str) -> bool:
        """Tell whether an actor has a right.

        Everybody has all of them under a policy that names no roles. Else an actor has those of the role that its name
        begins with, up to a colon; who names no actor has none.
        """
        if self.access is None or not self.access.roles:
            return True
        role = (actor or "").partition(":")[0]
        return right in self.access.roles.get(role, ())
