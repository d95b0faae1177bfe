"""Holds the three stores against each other before they are used, and brings a restored one up to date.

All three carry the deployment's id and a counter that moves with every act. An empty data store adopts the deployment;
keys are never made for data that is there already. A data store or keystore that is behind the ledger was restored:
the acts that it missed are carried out on it again, and so are acts that were interrupted. A ledger that is behind the
others is refused, for what it has forgotten could not be applied; and so is one that is not there any more, for it was
made before the first tenant.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import NamedTuple

from securemem.errors import ConfigurationError, NotReadyError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.keys.routes import TenantRoute
from securemem.keys.rows import OPEN
from securemem.ledger.acts import Act, ActKind
from securemem.ledger.moves import Move, Moves
from securemem.ledger.store import Ledger
from securemem.model import HANDLE_BYTES, Route, Stamp, to_milliseconds
from securemem.ports import Backend, Clock, KeyManagementService, TenantBound
from securemem.residue import PURGE_SECONDS
from securemem.sqlitefile import MEMORY

MakeData = Callable[[str, str, Keyring], Backend]
"""Gives a tenant's data store by its table, the tenant's name in the keystore, and its keyring."""

_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of one deployment, made and not opened yet; the route says where the tenant's data lies."""

    backend: Backend
    keystore: Keystore
    ledger: Ledger
    kms: KeyManagementService
    clock: Clock
    route: TenantRoute


@dataclass(frozen=True, slots=True)
class Stamps:
    """What the stores said of themselves when they were opened.

    Attributes:
        deployment: whose they all are.
        servers: those that the tenant's data lies on.
        data: their counter; of two, while the tenant is moved, the lower one.
        keystore: the keystore's.
        newest: the ledger's.
        unfinished: how many acts the ledger knows that are not through.
    """

    deployment: bytes
    servers: tuple[str, ...]
    data: int
    keystore: int
    newest: int
    unfinished: int


def space_name(space: str, tenant: str) -> str:
    """Give the keystore's name for a tenant's sessions in one table: those in another are apart."""
    return f"{space}{_SEPARATOR}{tenant}"


def named(name: str) -> tuple[str, str]:
    """Give the table and the tenant that such a name is made of."""
    space, _, tenant = name.partition(_SEPARATOR)
    return space, tenant


def bind(store: object, tenant: bytes) -> None:
    """Tell a store whose rows are asked for, where it has that ability."""
    if isinstance(store, TenantBound):
        store.bind(tenant)


async def agree(stores: Stores, *, create: bool) -> Stamps:
    """Open the stores, and check that they belong together and that the ledger is not older than the others.

    Args:
        stores: made, not open.
        create: whether stores that nobody has used yet are begun, and a tenant that is new may be made.

    Raises:
        ConfigurationError: they do not belong together, or one is missing or something else, or the tenant is.
        NotReadyError: the ledger is missing or older than what it decided about.
    """
    keys, data = await _open(stores, create=create)
    # The ledger last: every act is written there first, so what it says is never older than what the others do.
    peek = await stores.ledger.peek()
    decided = peek.stamp if peek is not None else None
    if not create and data is None and (keys is not None or decided is None):
        raise ConfigurationError(await _what_is_missing(stores, keys))
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
    behind = max(keys.counter, data.counter if data is not None else 0) > newest
    if behind or (peek is None and await _has_lost_its_ledger(stores)):
        raise NotReadyError(
            f"the ledger {stores.ledger.place} is missing, or older than the data or the keystore: its URL may not be "
            "the right one; if it is, restore its newest copy, or who was forgotten since may come back "
            "(`securemem restore --accept-older-ledger`, where none is left)"
        )
    await stores.ledger.create(keys.deployment)
    unfinished = peek.unfinished if peek is not None else 0
    if unfinished:
        await _check_restored(stores.ledger)
    if data is None:
        data = Stamp(keys.deployment, newest)
        await stores.backend.stamp(data)
    servers = (await stores.route.current()).servers
    return Stamps(keys.deployment, servers, data.counter, keys.counter, newest, unfinished)


async def least_counter(keystore: Keystore, space: str) -> int:
    """Give what the stamp of the data in one table counts at least; an act stamps the data before the keystore.

    Where the keystore has keys of other tables too, its stamp follows acts that were none of this one's: 0.
    """
    if await keystore.is_any_apart(space_name(space, "")):
        return 0
    return (await keystore.stamp_now()).counter


async def _what_is_missing(stores: Stores, keys: Stamp | None) -> str:
    """Say of a data store that nobody has used yet whether there was another."""
    _, sessions = await stores.keystore.counts() if keys is not None else (0, 0)
    if not sessions:
        return "there is no store here: `securemem init` makes one, or the URL names another place"
    return (
        "the data is empty, and the keystore has keys of sessions: it was lost (a Redis that keeps nothing on disk was "
        "started anew), or the URL names another place; restore its backup, or let `securemem init` begin anew"
    )


async def _has_lost_its_ledger(stores: Stores) -> bool:
    """Tell whether a ledger, which is made before the first tenant, is there no more; one in memory never lasts."""
    if stores.ledger.place == MEMORY or not await stores.keystore.tenants():
        return False
    # Another process may have begun the deployment since it was looked for.
    return await stores.ledger.peek() is None


async def _check_tenant(stores: Stores) -> None:
    """Refuse a tenant that is not there: its name may be mistyped, and another's sessions are meant.

    Raises:
        ConfigurationError: it is not; nothing was written.
    """
    if await stores.keystore.tenant(stores.route.name) is None:
        space, tenant = named(stores.route.name)
        raise ConfigurationError(
            f"there is no tenant {tenant!r} under {space!r} here: name one that is, or the right table_name or prefix; "
            "`securemem init --tenant NAME` makes a new one"
        )


async def _check_restored(ledger: Ledger) -> None:
    """Let nobody in while data is being restored: an empty data store is not begun anew then.

    Raises:
        NotReadyError: it is.
    """
    if any(act.kind is ActKind.RESTORE for act in await ledger.acts(unfinished=True)):
        raise NotReadyError(
            "the data is being restored, or that was interrupted: wait, or run `securemem restore` with the same file "
            "again"
        )


async def _open(stores: Stores, *, create: bool) -> tuple[Stamp | None, Stamp | None]:
    """Open keystore and data; the keystore first, for it says where the data lies."""
    keys = await stores.keystore.open()
    if keys is None:
        stores.route.begin()
    else:
        if not create:
            await _check_tenant(stores)  # before the data, which has a table made where it lacks it
        await stores.route.renewed()
    data = await stores.backend.open()
    if keys is None and data is not None:
        # Another process may have begun the deployment since: its keystore came before its data.
        keys = await stores.keystore.open()
    return keys, data


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


async def catch_up(stores: Stores, stamps: Stamps, keyring: Keyring, make_data: MakeData) -> None:
    """Carry out what was interrupted, and what a restored store has missed, for every tenant.

    Args:
        stores: opened by `agree`.
        stamps: what it found.
        keyring: the tenant's that is being opened.
        make_data: gives another tenant's data store.

    Raises:
        ConfigurationError: a restored keystore has missed acts whose data lies on a server that the settings lack.
    """
    if min(stamps.data, stamps.keystore) == stamps.newest and not stamps.unfinished:
        return
    from securemem.destruction import Destruction  # noqa: PLC0415  (a store that has missed nothing does without)
    from securemem.interrupted import carry_out  # noqa: PLC0415

    missed = await _missed(stores, stamps)
    space, _ = named(stores.route.name)
    for _, tenant, name in await stores.keystore.tenants():
        acts = await _wanted(stores, stamps, name, missed, missed.acts.get(tenant, []))
        if not acts:
            continue
        ring, backend, other = keyring, stores.backend, named(name)[0]
        async with AsyncExitStack() as stack:
            if tenant != keyring.tenant:
                ring = await open_keyring(stores.keystore, stores.kms, name)
                stack.push_async_callback(ring.aclose)
            if other != space or (tenant != keyring.tenant and isinstance(backend, TenantBound)):
                backend = make_data(other, name, ring)
                stack.push_async_callback(backend.aclose)
                await backend.open()
                bind(backend, tenant)
            await carry_out(
                acts,
                Destruction(backend, ring, stores.ledger, stores.clock, stamps.deployment),
                backend=backend,
                keyring=ring,
                ledger=stores.ledger,
                clock=stores.clock,
                purge_seconds=PURGE_SECONDS,
            )


class _Missed(NamedTuple):
    """What some store may have missed.

    Attributes:
        acts: by tenant, in order.
        interrupted: the numbers of those that are not through.
        moves: the last one of each tenant, if any are among the acts.
    """

    acts: dict[bytes, list[Act]]
    interrupted: set[int]
    moves: dict[bytes, Move]


async def _missed(stores: Stores, stamps: Stamps) -> _Missed:
    interrupted = {act.counter: act for act in await stores.ledger.acts(unfinished=True)}
    since = {act.counter: act for act in await stores.ledger.acts(after=min(stamps.data, stamps.keystore))}
    acts: dict[bytes, list[Act]] = {}
    for _, act in sorted((interrupted | since).items()):
        acts.setdefault(act.tenant, []).append(act)
    moved = any(act.kind is ActKind.MOVE for act in since.values())
    moves = {move.tenant: move for move in await Moves(stores.ledger).all()} if moved else {}
    return _Missed(acts, set(interrupted), moves)


async def _wanted(stores: Stores, stamps: Stamps, name: str, missed: _Missed, acts: list[Act]) -> list[Act]:
    """Give those of a tenant's acts that are to be carried out.

    What the keystore has missed, and what was interrupted, always; what the data has missed, where the tenant lies on
    a server that has the stamp, and since it does.

    Raises:
        ConfigurationError: the keystore has missed some, and the tenant is out of reach.
    """
    if not acts:
        return []
    move = missed.moves.get(acts[0].tenant)
    route = await _put_right(stores, stamps, name, move)
    data = stamps.newest
    if set(route.servers) & set(stamps.servers):
        data = max(stamps.data, move.counter if move is not None else 0)
    done = min(data, stamps.keystore)
    wanted = [act for act in acts if act.counter > done or act.counter in missed.interrupted]
    lacking = stores.route.lacking(route)
    if not wanted or not lacking:
        return wanted
    # No stamp passes an act that is not through: what comes after one may have been done, whatever the stamp says.
    through = min(missed.interrupted, default=stamps.newest + 1) - 1
    if any(stamps.keystore < act.counter <= through for act in wanted):
        raise ConfigurationError(
            f"the keystore was restored, and has missed what was done to a tenant on server {lacking[0]!r}: name that "
            "server under [servers] in securemem.toml"
        )
    return []  # for a process that can reach it


async def _put_right(stores: Stores, stamps: Stamps, name: str, move: Move | None) -> Route:
    """Give a tenant's route; a keystore that was restored from before a move is told where the tenant lies first."""
    route = await stores.keystore.route(name) or Route()
    if move is None or move.counter <= stamps.keystore or route.place == move.target:
        return route
    # The ledger after the keystore: it is told of every move first.
    [*_, last] = await Moves(stores.ledger).of(move.tenant)
    if route.place != last.target:
        await stores.keystore.set_route(name, route, Route(route.version + 1, last.target, None))
        await stores.route.renewed()
    return await stores.keystore.route(name) or Route()
