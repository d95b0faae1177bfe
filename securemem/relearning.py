"""Goes on with a ledger that is older than data and keystore, or new, where no newer copy of it is left.

    what heads say of holds, restrictions and what is preserved → the ledger again → marks → its counter behind theirs

What it had decided since is lost with it. Nobody comes back by that, as long as data or keystore is not from before
too: keys that were destroyed are not there, nor are rows that were deleted. Of requests, policies and the audit's
events nothing can be known; that this was accepted is in the audit.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import NamedTuple

from securemem.compose import follow
from securemem.corrections import without
from securemem.crypto.envelope import is_of_guest
from securemem.crypto.head import Walk
from securemem.demands import COPY, PSEUDONYMS
from securemem.errors import IntegrityError
from securemem.keys import handles
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.keys.rows import SessionRow, UserRow
from securemem.keys.unwrapped import title_of
from securemem.ledger.holds import Holds, Kind
from securemem.ledger.store import Ledger
from securemem.marks import mark_anew
from securemem.model import VAULT, Change, Head, to_milliseconds
from securemem.ports import ALL_ROWS, Backend, Clock, KeyManagementService
from securemem.readiness import bind
from securemem.setapart import shown_name
from securemem.together import few_at_once

REASON = "LEDGER-LOST"
"""The code of holds and restrictions that are known by heads alone."""
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores of a deployment that is not open.

    Attributes:
        make: gives a tenant's data store by the tenant's name in the keystore.
    """

    keystore: Keystore
    ledger: Ledger
    kms: KeyManagementService
    clock: Clock
    make: Callable[[str], Backend]


class Relearned(NamedTuple):
    """What the ledger was told by heads: how many holds and restrictions, and how many sessions are preserved."""

    holds: int = 0
    restrictions: int = 0
    preserved: int = 0


class _Bears(NamedTuple):
    """A session whose head says that it is kept out of sight, as the keystore knows it."""

    user: UserRow
    row: SessionRow
    is_held: bool


async def relearn(stores: Stores) -> Relearned:
    """Bring a ledger that knows less than the other stores up to them; can be repeated."""
    found = Relearned()
    newest = (await stores.keystore.stamp_now()).counter
    tenants = sorted(await stores.keystore.tenants())
    for _, _, name in tenants:
        async with (
            contextlib.aclosing(await open_keyring(stores.keystore, stores.kms, name)) as keyring,
            contextlib.aclosing(stores.make(name)) as backend,
        ):
            follow(backend, keyring, stores.clock)
            stamp = await backend.open()
            if stamp is None:
                continue
            newest = max(newest, stamp.counter)
            bind(backend, keyring.tenant)
            told = await _Tenant(stores, backend, keyring).relearn()
            found = Relearned(*map(sum, zip(found, told, strict=True)))
    # Last: until then nobody opens the store.
    await stores.ledger.skip(newest, tenant=tenants[0][1], at=to_milliseconds(stores.clock()))
    return found


class _Tenant:
    """One tenant's stores, while the ledger learns of them."""

    def __init__(self, stores: Stores, backend: Backend, keyring: Keyring) -> None:
        self._stores = stores
        self._backend = backend
        self._keyring = keyring
        self._holds = Holds(stores.ledger, keyring.tenant)

    async def relearn(self) -> Relearned:
        """Place anew what heads bear and the ledger does not know, and mark the heads as it says then."""
        known = {each.session or each.person for each in await self._holds.active(kind=None)}
        of_person: dict[bytes, list[_Bears]] = {}
        async for each in self._bearing():
            if not known & {each.row.handle, each.user.handle}:
                of_person.setdefault(each.user.handle, []).append(each)
        async for _, row in self._keyring.rows(None):
            with contextlib.suppress(IntegrityError):  # no reader gets anything of what is damaged
                await self._forget_guests(row.handle)
        counts = [await self._person(person, bearing) for person, bearing in of_person.items()]
        await mark_anew(self._backend, self._keyring, self._stores.ledger, self._stores.clock)
        return Relearned(*map(sum, zip(Relearned(), *counts, strict=True)))

    async def _bearing(self) -> AsyncIterator[_Bears]:
        rows = [pair async for pair in self._keyring.rows(None)]
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            heads = await few_at_once([row.handle for _, row in some], self._open_head)
            for (user, row), head in zip(some, heads, strict=True):
                if head is not None and head.restricted:
                    yield _Bears(user, row, head.held)

    async def _open_head(self, session: bytes) -> Head | None:
        raw, _ = await self._backend.tail(session, 0)
        try:
            head = self._keyring.head_seal(session).decode(raw) if raw else None
        except IntegrityError:
            return None
        return head if head is not None and not head.closed else None

    async def _forget_guests(self, session: bytes) -> None:
        """Put stubs in place of records whose guests have no key any more: only the ledger knew of their erasure."""
        seal = self._keyring.head_seal(session)
        while (owner := await self._keyring.keystore.owner_of(session)) is not None:
            raw, rows = await self._backend.tail(session, ALL_ROWS)
            head = seal.decode(raw) if raw else None
            if head is None or head.closed or not any(is_of_guest(row) for _, row in rows):
                return
            there = {each.user.handle for each in await self._keyring.keystore.guests(session)}
            walk = Walk(seal, head, session=session, owner=owner.user)
            sealed = walk.page(rows)
            walk.finish()
            stubs = [seal.stub_for(each) for each in sealed if each.subject not in (None, *there)]
            if not stubs:
                return
            if await self._backend.swap(Change(session, raw, seal.encode(without(head, stubs)), rows=stubs)) is None:
                return

    async def _person(self, person: bytes, bearing: list[_Bears]) -> Relearned:
        """Place what is borne by sessions of one person: on all of theirs, where all of them bear it."""
        held: list[bytes | None] = [each.row.handle for each in bearing if each.is_held]
        if held:
            own, _ = await handles.of_person(self._keyring, person)
            heads = [head for head in await few_at_once(own, self._open_head) if head is not None]
            held = [None] if all(head.held for head in heads) else held
            for session in held:
                await self._place(person, session, REASON, Kind.HOLD)
        names = {each.row.handle: await self._name(each) for each in bearing if not each.is_held}
        copies = [session for session, name in names.items() if shown_name(name) != name]
        others = [session for session in names if session not in copies]
        for session in copies:
            await self._place(person, session, COPY, Kind.PRESERVED)
        if others and all(names[session] == VAULT for session in others):
            await self._place(person, others[0], PSEUDONYMS, Kind.PRESERVED)
            others = []
        if others:
            await self._place(person, None, REASON, Kind.RESTRICTION)
        return Relearned(len(held), bool(others), len(copies))

    async def _name(self, each: _Bears) -> str:
        return title_of(await self._keyring.user(each.user, None), each.row).session_id

    async def _place(self, person: bytes, session: bytes | None, reason: str, kind: Kind) -> None:
        at = to_milliseconds(self._stores.clock())
        _, act = await self._holds.place(person, session, reason=reason, at=at, kind=kind)
        if act:
            await self._stores.ledger.finish(act, at=at)  # heads bear it already
