"""Holds the three stores against each other before they are used, and brings a restored one up to date.

All three carry the deployment's id and a counter that moves with every act. An empty data store adopts the deployment;
keys are never made for data that is there already. A data store or keystore that is behind the ledger was restored:
the acts that it missed are carried out on it again, and so are acts that were interrupted. A ledger that is behind the
others is refused, for what it has forgotten could not be applied.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from securemem.destruction import Destruction
from securemem.errors import ConfigurationError, NotReadyError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.keys.rows import OPEN
from securemem.ledger.acts import Act
from securemem.ledger.store import Ledger
from securemem.model import HANDLE_BYTES, Stamp, to_milliseconds
from securemem.ports import Backend, Clock, KeyManagementService, TenantBound

PURGE_SECONDS = 5.0
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one deployment, made and not opened yet."""

    backend: Backend
    keystore: Keystore
    ledger: Ledger
    kms: KeyManagementService
    clock: Clock


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the stores said of themselves when they were opened.

    Attributes:
        deployment: whose they all are.
        behind: the counter of the store that has missed most.
        newest: the ledger's counter.
        unfinished: how many acts the ledger knows that are not through.
    """

    deployment: bytes
    behind: int
    newest: int
    unfinished: int


def space_name(space: str, tenant: str) -> str:
    """Give the keystore's name for a tenant's sessions in one table: those in another are apart."""
    return f"{space}{_SEPARATOR}{tenant}"


def bind(store: object, tenant: bytes) -> None:
    """Tell a store whose rows are asked for, where it has that ability."""
    if isinstance(store, TenantBound):
        store.bind(tenant)


async def agree(stores: Stores, *, create: bool) -> Stamps:
    """Open the stores, and check that they belong together and that the ledger is not older than the others.

    Args:
        stores: made, not open.
        create: whether stores that nobody has used yet are begun.

    Raises:
        ConfigurationError: they do not belong together, or one is missing or something else.
        NotReadyError: the ledger is missing or older than what it decided about.
    """
    data, keys = await stores.backend.open(), await stores.keystore.open()
    # The ledger last: every act is written there first, so what it says is never older than what the others do.
    peek = await stores.ledger.peek()
    decided = peek.stamp if peek is not None else None
    if not create and (data is None or keys is None):
        raise ConfigurationError("there is no store here: `securemem init` makes one")
    if keys is None:
        keys = await _begin(stores, data or decided)
    else:
        await stores.kms.open(keys.deployment, create=not await stores.keystore.epochs())
    await _first_epoch(stores)
    for what, stamp in (("data", data), ("ledger", decided)):
        if stamp is not None and stamp.deployment != keys.deployment:
            raise ConfigurationError(
                f"the {what} belongs to deployment {stamp.deployment.hex()}, the keystore to "
                f"{keys.deployment.hex()}: name the stores that were made together"
            )
    newest = decided.counter if decided is not None else 0
    if max(keys.counter, data.counter if data is not None else 0) > newest:
        raise NotReadyError(
            "the ledger is missing, or older than the data or the keystore: restore its newest copy, "
            "or who was forgotten since may come back"
        )
    await stores.ledger.create(keys.deployment)
    if data is None:
        data = Stamp(keys.deployment, newest)
        await stores.backend.stamp(data)
    return Stamps(keys.deployment, min(keys.counter, data.counter), newest, peek.unfinished if peek is not None else 0)


async def _begin(stores: Stores, held: Stamp | None) -> Stamp:
    """Begin a deployment: its KEK file first, which refuses one that is another's, then the keystore."""
    if held is not None:
        raise ConfigurationError(
            f"what is stored here belongs to deployment {held.deployment.hex()}, and the keystore "
            f"{stores.keystore.place} is missing or empty: name or restore the keystore of that deployment"
        )
    deployment = secrets.token_bytes(HANDLE_BYTES)
    try:
        await stores.kms.open(deployment, create=True)
    except ConfigurationError:
        # Another's KEK; unless another process began this very deployment since the keystore was looked at.
        if await stores.keystore.open() is None:
            raise
    await stores.keystore.stamp(Stamp(deployment, 0))
    keys = await stores.keystore.stamp_now()
    if keys.deployment != deployment:
        # Another process began one at the same moment, and its keystore stands.
        await stores.kms.open(keys.deployment, create=True)
    return keys


async def _first_epoch(stores: Stores) -> None:
    if not await stores.keystore.epochs():
        await stores.kms.create_epoch(1)
        await stores.keystore.add_epoch(1, OPEN, to_milliseconds(stores.clock()))


async def catch_up(
    stores: Stores, stamps: Stamps, keyring: Keyring, space: str, make_backend: Callable[[str], Backend]
) -> None:
    """Carry out what was interrupted, and what a restored store has missed, for every tenant.

    Args:
        stores: opened by `agree`.
        stamps: what it found.
        keyring: the tenant's that is being opened.
        space: the table that is being opened.
        make_backend: gives the data store of another table.
    """
    if stamps.behind == stamps.newest and not stamps.unfinished:
        return
    acts = {act.counter: act for act in await stores.ledger.acts(unfinished=True)}
    acts |= {act.counter: act for act in await stores.ledger.acts(after=stamps.behind)}
    missed: dict[bytes, list[Act]] = {}
    for counter in sorted(acts):
        missed.setdefault(acts[counter].tenant, []).append(acts[counter])
    for _, tenant, name in await stores.keystore.tenants():
        if tenant not in missed:
            continue
        other = name.partition(_SEPARATOR)[0]
        ours = other == space and (tenant == keyring.tenant or not isinstance(stores.backend, TenantBound))
        backend = stores.backend if ours else make_backend(other)
        ring = keyring if tenant == keyring.tenant else await open_keyring(stores.keystore, stores.kms, name)
        try:
            if backend is not stores.backend:
                await backend.open()
                bind(backend, tenant)
            destruction = Destruction(backend, ring, stores.ledger, stores.clock, stamps.deployment)
            await destruction.catch_up(missed[tenant], purge_seconds=PURGE_SECONDS)
        finally:
            if backend is not stores.backend:
                await backend.aclose()
            if ring is not keyring:
                await ring.aclose()
