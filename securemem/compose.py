"""The one place where live objects are put together: stores from URLs, checked against each other, made ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.adapters import make_data, make_keystore, make_kms, make_ledger, make_replica, space_of
from securemem.config import Settings, is_server
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.routes import TenantRoute
from securemem.ledger.classes import Classes
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import Stamp, to_milliseconds
from securemem.nearby import Pages
from securemem.places import advice, make_home
from securemem.policy import Policy
from securemem.ports import Backend, Cautious, Clock, Reconnecting, Replica, Spread
from securemem.readiness import MakeData, Stores, agree, bind, catch_up, least_counter, space_name

if TYPE_CHECKING:
    from securemem.destruction import Destruction
    from securemem.office import Office
    from securemem.privacy.privacy import Privacy


@dataclass(frozen=True)
class Deployment:
    """The live objects of one open store, and how they are closed.

    Attributes:
        stores: as they were put together; the others stand on them.
        make_data: gives another tenant's data store.
    """

    id: bytes
    settings: Settings
    policy: Policy
    clock: Clock
    backend: Backend
    replica: Replica | None
    pages: Pages
    stores: Stores
    make_data: MakeData
    keyring: Keyring
    ledger: Ledger
    privacy: Privacy | None
    lives: Lives

    @cached_property
    def destruction(self) -> Destruction:
        """What destroys sessions and people."""
        from securemem.destruction import Destruction  # noqa: PLC0415  (a chat does without)

        return Destruction(self.backend, self.keyring, self.ledger, self.clock, self.id, policy=self.policy)

    async def retire(self, session: bytes, generation: int) -> None:
        """Destroy a session that its store has dropped, as `Destruction.retire`."""
        await self.destruction.retire(session, generation)

    async def expire(self, session: bytes, generation: int) -> None:
        """Destroy a session that was closed by somebody who died since."""
        await self.destruction.expire([(session, generation)])

    async def begun(self, session: bytes) -> None:
        """Mark a session that has its first head, or a new guest: a hold may be on all that is theirs."""
        if await self.ledger.has_standing():
            from securemem.marks import mark_begun  # noqa: PLC0415  (a chat does without)

            await mark_begun(self.backend, self.keyring, self.ledger, self.clock, session)

    async def see_through(self, *, purge_seconds: float) -> int:
        """Carry out what was interrupted, and nobody is at any more; gives how many acts."""
        from securemem.interrupted import carry_out, left_behind  # noqa: PLC0415  (a chat does without)

        acts = await left_behind(self.ledger, self.keyring.tenant, self.clock)
        if acts:
            await carry_out(
                acts,
                self.destruction,
                backend=self.backend,
                keyring=self.keyring,
                ledger=self.ledger,
                clock=self.clock,
                purge_seconds=purge_seconds,
            )
        return len(acts)

    @cached_property
    def office(self) -> Office:
        """What operators and people's rights ask for."""
        from securemem.office import Office, Stock  # noqa: PLC0415  (a chat does without)

        return Office(
            Stock(
                backend=self.backend,
                keyring=self.keyring,
                ledger=self.ledger,
                destruction=self.destruction,
                lives=self.lives,
                policy=self.policy,
                clock=self.clock,
                lasting=self.settings.lasting.or_backups(self.policy.backup_days),
                deployment=self.id,
            )
        )

    @property
    def caveats(self) -> list[str]:
        """What works and could hurt one day: what the data's server may lose, and what lies on this machine alone."""
        found = list(self.backend.caveats) if isinstance(self.backend, Cautious) else []
        here = advice(self.settings)
        return found if here is None else [*found, here]

    async def log_reveal(self, people: list[str], actor: str | None) -> None:
        """Write down in the audit that an actor is given what stands under the pseudonyms of some people."""
        from securemem.ledger.audit import Audit, Event, EventKind  # noqa: PLC0415  (a chat does without)

        rows = [await self.keyring.find_user(user_id) for user_id in people]
        handles = [row.handle if row is not None else None for row in rows]
        by, at = self.keyring.actor_hash(actor), to_milliseconds(self.clock())
        kind, tenant, policy = EventKind.REVEAL, self.keyring.tenant, self.policy.digest
        await Audit(self.ledger).write(*(Event(kind, tenant, handle, by, policy, at) for handle in handles))

    async def aclose(self) -> None:
        """Close every store; what one of them raises, or that it is cancelled, does not keep the others open."""
        if self.privacy is not None:
            self.privacy.close()
        await _close_all(
            self.keyring.aclose,
            *([self.replica.aclose] if self.replica is not None else []),
            self.backend.aclose,
            self.keyring.keystore.aclose,
            self.ledger.aclose,
            self.keyring.kms.aclose,
        )


async def _close_all(*closes: Callable[[], Awaitable[None]]) -> None:
    first: BaseException | None = None
    for close in closes:
        try:
            await close()
        except BaseException as exc:  # noqa: BLE001  (raised below, once all are closed)
            first = first or exc
    if first is not None:
        raise first


def follow(backend: Backend, keyring: Keyring, clock: Clock) -> None:
    """Let a data store on several servers follow its tenant when that is moved."""
    if isinstance(backend, Spread):
        from securemem.handover import Handover  # noqa: PLC0415  (a store on one server does without)

        backend.hand_over(Handover(keyring, clock))


async def _privacy(policy: Policy, keyring: Keyring) -> Privacy | None:
    if policy.pii is None:
        return None
    from securemem.discretion import make_privacy  # noqa: PLC0415  (a store whose policy finds nothing does without)

    return await make_privacy(policy, keyring.keyed_hash)


async def assemble(
    settings: Settings, *, tenant: str, policy: Policy, clock: Clock, client: Any = None, create: bool = True
) -> Deployment:
    """Open the stores, hold them against each other, and bring a restored one up to date.

    Raises:
        ConfigurationError: stores that do not belong together, or are not there.
        NotReadyError: a ledger older than what it decided about.
        WrongKeyError: a KMS that does not open this keystore.
        BackendUnavailableError: a store that cannot be reached, read or written.
    """
    space = space_of(settings)
    make_home(settings, create=create)
    keystore, ledger, kms = make_keystore(settings), make_ledger(settings), make_kms(settings)

    def data(space: str, name: str, keyring: Keyring) -> Backend:
        backend = make_data(settings, space, TenantRoute(keystore, name, settings.servers), client)
        follow(backend, keyring, clock)
        return backend

    route = TenantRoute(keystore, space_name(space, tenant), settings.servers)
    backend, replica = make_data(settings, space, route, client), make_replica(settings, space)
    stores = Stores(backend, keystore, ledger, kms, clock, route)
    closes = [backend.aclose, keystore.aclose, ledger.aclose, kms.aclose]
    try:
        stamps = await agree(stores, create=create)
        is_new = await keystore.tenant(route.name) is None
        keyring = await open_keyring(keystore, kms, route.name, confirm=route.current)
        closes.insert(0, keyring.aclose)
        bind(backend, keyring.tenant)
        bind(replica, keyring.tenant)
        follow(backend, keyring, clock)
        await catch_up(stores, stamps, keyring, data)
        if is_new and not policy.rules.are_idle:
            from securemem.retention.gate import Gate  # noqa: PLC0415  (a store whose policy has no rules does without)

            await Gate(ledger, keyring.tenant, policy).begin(to_milliseconds(clock()))
        if stamps.data < stamps.newest:
            await backend.stamp(Stamp(stamps.deployment, stamps.newest))
        if isinstance(backend, Reconnecting):
            backend.hold_against(lambda: least_counter(keystore, space))
        privacy = await _privacy(policy, keyring)
    except BaseException:
        await _close_all(*closes)
        raise
    opened = _Opened(stamps.deployment, stores, data, keyring, replica, privacy)
    return _put_together(settings, policy, clock, opened)


class _Opened(NamedTuple):
    """Stores that are open and agree, and what was made of them so far."""

    deployment: bytes
    stores: Stores
    data: MakeData
    keyring: Keyring
    replica: Replica | None
    privacy: Privacy | None


def _put_together(settings: Settings, policy: Policy, clock: Clock, opened: _Opened) -> Deployment:
    """Make the objects that work on stores which are open and agree."""
    deployment, stores, data, keyring, replica, privacy = opened
    backend, ledger = stores.backend, stores.ledger
    return Deployment(
        deployment,
        settings,
        policy,
        clock,
        backend,
        replica,
        Pages(backend, replica, keyring.keystore, far=is_server(settings.url)),
        stores,
        data,
        keyring,
        ledger,
        privacy,
        Lives(policy, Classes(ledger, keyring.tenant, keyring.keyed_hash), keyring.keyed_hash),
    )
