"""Checkpoints of the audit: signed heads put down outside, and the whole chain held against them.

The chain alone shows a change that was made to it and nothing else. Whoever can write the ledger can write all of it
anew, or put back an older one; only what was put down elsewhere shows that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from securemem.crypto.merkle import Frontier, check_consistency
from securemem.crypto.note import Checkpoint, open_checkpoint, sign
from securemem.crypto.signing import Signer
from securemem.errors import IntegrityError, ReorderedError
from securemem.ledger.audit import Audit
from securemem.ports import AuditSink


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found when the audit was verified.

    Attributes:
        events: how many there are, each as it was written.
        root: the head of the tree over them, in hex.
        checkpoints: how many signed checkpoints the chain was held against.
        last: the size of the newest of them; None without any.
    """

    events: int
    root: str
    checkpoints: int
    last: int | None


def origin_of(deployment: bytes, tenant: bytes) -> str:
    """Give the name under which a tenant signs for a deployment's audit."""
    return f"securemem/{deployment.hex()}/{tenant.hex()}"


class Witness:
    """Signs for one tenant, and verifies."""

    def __init__(self, audit: Audit, signer: Signer, origin: str) -> None:
        """Take the audit, the tenant's signing key, and what `origin_of` gave."""
        self._audit = audit
        self._signer = signer
        self.origin = origin

    async def put(self, sink: AuditSink) -> Checkpoint | None:
        """Put a checkpoint down; None where the newest one says the same, or nothing was audited yet.

        Raises:
            ReorderedError: the audit is not what grew out of the newest checkpoint; none is signed then.
            IntegrityError: what lies there as the newest is not signed by this tenant's key.
            BackendUnavailableError: the sink or the ledger does not answer.
        """
        size, root = await self._audit.head()
        last = await self._newest(sink)
        if last is not None:
            await self._check_growth(last, size, root)
        if size == (last.size if last is not None else 0):
            return None
        checkpoint = Checkpoint(self.origin, size, root)
        await sink.put(self.origin, size, sign(self._signer, checkpoint))
        return checkpoint

    async def verify(self, notes: Sequence[str], public_key: bytes | None = None) -> AuditReport:
        """Go through the whole chain, and hold it against checkpoints.

        Args:
            notes: the checkpoints, signed.
            public_key: the key that they have to be signed by; this tenant's own if None.

        Raises:
            ReorderedError: an event was changed, left out, added or moved, or the chain was cut off or put back; it
                says which is the first, or between which checkpoints it is.
            IntegrityError: a checkpoint is not signed by the key.
        """
        key = public_key if public_key is not None else self._signer.public_key
        marks = sorted({open_checkpoint(note, self.origin, key) for note in notes}, key=lambda mark: mark.size)
        tree, checked = Frontier(), 0
        while checked < len(marks) and marks[checked].size == 0:
            checked += 1
        good = 0
        async for entry in self._audit.entries(tree):
            while checked < len(marks) and marks[checked].size == entry.number:
                if marks[checked].root != tree.root():
                    raise ReorderedError(_rewritten(good, entry.number))
                good, checked = entry.number, checked + 1
        if checked < len(marks):
            raise ReorderedError(_cut(tree.size, marks[-1].size))
        return AuditReport(tree.size, tree.root().hex(), len(marks), marks[-1].size if marks else None)

    async def _newest(self, sink: AuditSink) -> Checkpoint | None:
        notes = await sink.notes(self.origin, 1)
        return open_checkpoint(notes[-1], self.origin, self._signer.public_key) if notes else None

    async def _check_growth(self, last: Checkpoint, size: int, root: bytes) -> None:
        if last.size > size:
            raise ReorderedError(_cut(size, last.size))
        if last.size == 0:
            return
        path = await self._audit.consistency(last.size, size)
        try:
            check_consistency(last.size, size, path, (last.root, root))
        except IntegrityError as exc:
            raise ReorderedError(_rewritten(0, last.size)) from exc


def _rewritten(good: int, size: int) -> str:
    return (
        f"audit: the chain was written anew: of the events {good + 1} to {size} at least one is not what it was when "
        f"the checkpoint of {size} events was signed"
    )


def _cut(size: int, signed: int) -> str:
    return (
        f"audit: event {size + 1} is missing: the chain ends at {size}, and a checkpoint of {signed} events was "
        "signed; it was cut off, or an older ledger was put back"
    )
