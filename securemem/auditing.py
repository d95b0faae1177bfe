"""The audit as a caller verifies it, carries it away and puts its head down elsewhere (`memory.audit`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securemem.errors import ConfigurationError, IntegrityError

if TYPE_CHECKING:
    from securemem.compose import Deployment
    from securemem.crypto.note import Checkpoint
    from securemem.host import SessionHost
    from securemem.ledger.witness import AuditReport, Witness
    from securemem.ports import AuditSink
    from securemem.rights.breach import BreachScope


class AuditLog:
    """The audit of one store, whose checkpoints its tenant signs."""

    def __init__(self, host: SessionHost) -> None:
        """Take what the store's sessions share."""
        self._host = host

    async def checkpoint(self) -> Checkpoint | None:
        """Sign how many events there are and the head of the tree over them, and put that down at the audit's sink.

        Returns:
            The checkpoint; None where the newest one there says the same, or nothing was audited yet.

        Raises:
            ConfigurationError: no `audit_sink` is set, or it refuses.
            IntegrityError: the audit is not what grew out of the newest checkpoint; none is signed then.
            BackendUnavailableError: the sink does not answer.
        """
        async with self._host.in_use() as deployment:
            sink = _sink(deployment)
            if sink is None:
                raise ConfigurationError("no place for checkpoints is named: set audit_sink, or SECUREMEM_AUDIT_SINK")
            return await _witness(deployment).put(sink)

    async def has_sink(self) -> bool:
        """Tell whether the settings name a place for checkpoints.

        Raises:
            ConfigurationError: they name one that cannot be.
        """
        async with self._host.in_use() as deployment:
            return _sink(deployment) is not None

    async def verify(
        self, *, checkpoints: str | Path | None = None, public_key: bytes | str | None = None
    ) -> AuditReport:
        """Go through all events, and hold them against every checkpoint that was put down.

        Args:
            checkpoints: a file of them, or a sink's URL; those of the store's own `audit_sink`, if it has one, if None.
            public_key: as PEM, or 32 raw bytes, kept from before; the store's own if None.

        Raises:
            IntegrityError: an event was changed, left out, added or moved, the chain was cut off, or an older ledger
                was put back; or a checkpoint is not signed by the key, or none is there where one was to be.
            BackendUnavailableError: the ledger or the sink does not answer.
            ConfigurationError: no such place, or no such key.
        """
        from securemem.crypto.signing import from_pem  # noqa: PLC0415  (importing a store does without)

        async with self._host.in_use() as deployment:
            witness = _witness(deployment)
            sink = _sink(deployment) if checkpoints is None else _named(checkpoints)
            notes = await sink.notes(witness.origin) if sink is not None else []
            key = from_pem(public_key) if isinstance(public_key, str) else public_key
            if not notes and (checkpoints is not None or public_key is not None):
                raise IntegrityError(
                    "no checkpoint of this audit is there to hold it against: it is another's, or damaged"
                )
            return await witness.verify(notes, key)

    async def breach_scope(self, *, epochs: Iterable[int] = (), files: Iterable[str | Path] = ()) -> BreachScope:
        """Say whom a leak touches, what it lets an attacker read, and what is to be done; nothing is changed.

        Args:
            epochs: of KEKs that leaked.
            files: that leaked, or copies of them: data, keystore, ledger, KEK file, a keystore's backup.

        Raises:
            InvalidInputError: nothing was named, or an epoch or a file that is none of this deployment's.
        """
        from securemem.rights.breach import scope  # noqa: PLC0415  (importing a store does without)
        from securemem.rights.leaked import look_into  # noqa: PLC0415

        async with self._host.in_use() as deployment:
            leaked = [await asyncio.to_thread(look_into, Path(file)) for file in files]
            return await scope(deployment.keyring.keystore, deployment.id, leaked, epochs)

    async def export(self) -> AsyncIterator[dict[str, Any]]:
        """Go through the audit as JSON objects: handles, kinds and hashes, and no id of anybody.

        Yields:
            One that says what this is; each event with its number and hash, of another tenant's events these alone;
            and at last a signed checkpoint of them all.

        Raises:
            IntegrityError: an event was changed, or one is missing.
        """
        async with contextlib.aclosing(self._host.steps(self._export())) as found:
            async for item in found:
                yield item

    async def _export(self) -> AsyncGenerator[dict[str, Any], None]:
        from securemem.crypto.merkle import Frontier  # noqa: PLC0415
        from securemem.crypto.note import Checkpoint, sign  # noqa: PLC0415
        from securemem.ledger.audit import Audit  # noqa: PLC0415

        deployment = await self._host.ready()
        keyring, tree = deployment.keyring, Frontier()
        origin = _witness(deployment).origin
        yield {"kind": "audit", "version": 1, "origin": origin, "tenant": keyring.tenant.hex()}
        async for entry in Audit(deployment.ledger).entries(tree):
            item: dict[str, Any] = {"kind": "event", "number": entry.number, "hash": entry.hash.hex()}
            yield item | ({"event": entry.event.to_json()} if entry.event.tenant == keyring.tenant else {})
        note = sign(keyring.signer, Checkpoint(origin, tree.size, tree.root()))
        yield {"kind": "checkpoint", "size": tree.size, "root": tree.root().hex(), "note": note}


def _witness(deployment: Deployment) -> Witness:
    from securemem.ledger.audit import Audit  # noqa: PLC0415  (importing a store does without)
    from securemem.ledger.witness import Witness, origin_of  # noqa: PLC0415

    keyring = deployment.keyring
    return Witness(Audit(deployment.ledger), keyring.signer, origin_of(deployment.id, keyring.tenant))


def _sink(deployment: Deployment) -> AuditSink | None:
    from securemem.adapters import make_sink  # noqa: PLC0415

    return make_sink(deployment.settings.audit_sink) if deployment.settings.audit_sink is not None else None


def _named(place: str | Path) -> AuditSink:
    from securemem.adapters import make_sink  # noqa: PLC0415

    if isinstance(place, str) and "://" in place:
        return make_sink(place)
    if not Path(place).is_file():
        raise ConfigurationError(f"there is no file of checkpoints at {place}")
    from securemem.sinks.file import FileSink  # noqa: PLC0415

    return FileSink(Path(place))
