"""Puts the data of a backup in place, session by session; whoever dies at it is followed by whoever restores it again.

    ledger's act → stamp → pages → floors → act through

A session's head is made anew for it: its version lies far above every one of the time that is given up, and its epoch
too. So no state of that time is accepted any more, other processes ask anew, and the keystore's floors stay. What has
no key any more is left out. Of a session that the backup does not have, the floor is forgotten.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from securemem.compose import follow
from securemem.crypto.head import HeadSeal
from securemem.crypto.secret import RawKey
from securemem.datapages import Page, decode
from securemem.errors import ConfigurationError, IntegrityError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.keys.rows import Floor, Owner, SessionRow
from securemem.keys.unwrapped import GENERATION
from securemem.ledger.acts import ActKind
from securemem.ledger.store import Ledger
from securemem.model import NEVER, Change, Head, HeadFlag, Stamp, to_milliseconds
from securemem.ports import Backend, Clock, KeyManagementService
from securemem.readiness import bind, named
from securemem.sealedfile import Progress, SealedReader
from securemem.together import few_at_once, swap_all

_LATER_VERSIONS, _LATER_EPOCHS = 2**32, 2**16
_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Target:
    """The stores of a deployment, open but for the data, and what makes that of a tenant.

    `names` are those that tenants get, by those that they have, where the data is not put in the kind of place that it
    was saved from.
    """

    keystore: Keystore
    ledger: Ledger
    kms: KeyManagementService
    clock: Clock
    make: Callable[[str], Backend]
    names: Mapping[str, str]
    many_servers: bool


@dataclass(slots=True)
class Put:
    """How much was put.

    Attributes:
        sessions: how many sessions.
        records: how many records, stubs included.
        left_out: how many sessions of the backup have no key any more.
    """

    sessions: int = 0
    records: int = 0
    left_out: int = 0


@dataclass(slots=True)
class _Place:
    """One tenant's data store, and what waits to be put there."""

    name: str
    backend: Backend
    keyring: Keyring
    waiting: list[tuple[Change, Floor | None]] = field(default_factory=list)


class DataRestore:
    """Restores the data from one backup."""

    def __init__(self, target: Target, reader: SealedReader, key: RawKey, told: Progress) -> None:
        """Take the stores, the backup and its key, and who is told of bytes."""
        self._target = target
        self._keystore = target.keystore
        self._reader = reader
        self._key = key
        self._told = told
        self._put = Put()
        self._part: tuple[bytes, bytes] | None = None

    async def verify(self) -> None:
        """Read the backup through, before anything is put.

        Raises:
            CorruptRecordError: it was cut short or altered.
        """
        async for _ in decode(self._reader.pieces(self._key)):
            pass

    async def put(self) -> Put:
        """Put every session that has a key.

        Raises:
            ConfigurationError: something else lies there.
        """
        act = await self._begin()
        await self._keystore.rename_tenants(self._target.names)
        names = {tenant: name for _, tenant, name in await self._keystore.tenants()}
        place: _Place | None = None
        async with contextlib.AsyncExitStack() as stack:
            async for page in decode(self._pieces()):
                name = names.get(page.tenant, page.name)
                if place is None or name != place.name:
                    await self._flush(place)
                    await stack.aclose()
                    place = await stack.enter_async_context(self._at(name, page.tenant))
                await self._page(place, page)
            await self._flush(place)
        for number, tenant, name in sorted(await self._keystore.tenants()):
            async with self._at(name, tenant) as there:
                if there is not None:
                    await self._forget_floors(number, there)
        await self._target.ledger.finish(act, at=to_milliseconds(self._target.clock()))
        return self._put

    async def _begin(self) -> int:
        """Write down that the data is being restored, unless it is gone on with; gives the act's number.

        Raises:
            ConfigurationError: the data store is not empty.
        """
        ledger, created = self._target.ledger, self._reader.header.created
        begun = [act for act in await ledger.acts(unfinished=True) if act.kind is ActKind.RESTORE]
        for act in begun:
            if act.at == created:
                return act.counter
        tenants = sorted(await self._keystore.tenants())
        seen = set()
        for _, _, present in tenants:
            name = self._target.names.get(present, present)
            where = name if self._target.many_servers else named(name)[0]
            if where not in seen:
                seen.add(where)
                await self._check_empty(name)
        _, first, _ = tenants[0]
        new = await ledger.begin(ActKind.RESTORE, tenant=first, user=None, generation=0, sessions=[], at=created)
        for act in begun:
            await ledger.finish(act.counter, at=to_milliseconds(self._target.clock()))
        return new.counter

    async def _check_empty(self, name: str) -> None:
        backend = self._target.make(name)
        try:
            if await backend.open() is not None:
                raise ConfigurationError(
                    "there is data already: a backup is restored into a data store that nobody has used yet; move the "
                    "present one away first, or empty it"
                )
        finally:
            await backend.aclose()

    @contextlib.asynccontextmanager
    async def _at(self, name: str, tenant: bytes) -> AsyncIterator[_Place | None]:
        """Give the place of a tenant's data; None where the keystore does not know the tenant."""
        found = await self._keystore.tenant(name)
        if found is None or found[1] != tenant:
            yield None
            return
        async with (
            contextlib.aclosing(await open_keyring(self._keystore, self._target.kms, name)) as keyring,
            contextlib.aclosing(self._target.make(name)) as backend,
        ):
            follow(backend, keyring, self._target.clock)
            stamp, ours = await backend.open(), Stamp(self._reader.header.deployment, self._reader.header.counter)
            if stamp not in (None, ours):
                raise ConfigurationError(
                    "another process has used the data store while it was restored: stop it, empty the data store, and "
                    "run `securemem restore` with the same file again"
                )
            bind(backend, tenant)
            # Whose it is, before anything lies there; and that it has missed all since.
            await backend.stamp(ours)
            yield _Place(name, backend, keyring)

    async def _pieces(self) -> AsyncIterator[bytes]:
        done = 0
        async for piece in self._reader.pieces(self._key):
            done += len(piece)
            self._told(min(done, self._reader.size), self._reader.size)
            yield piece

    # Pages

    async def _page(self, place: _Place | None, page: Page) -> None:
        owner = await self._keystore.owner_of(page.session) if place is not None else None
        if place is None or owner is None:
            self._put.left_out += bool(page.head)
            return
        seal = place.keyring.head_seal(page.session)
        if not page.head:
            await self._flush(place)
            await self._put_part(place, seal, page)
            return
        expected = b""
        if self._part is not None and self._part[0] == page.session:
            expected = self._part[1]
        self._part = None
        change, floor = _change(page, seal, owner, expected)
        if change is None:
            self._put.left_out += 1
            return
        place.waiting.append((change, floor))
        self._put.sessions += 1
        self._put.records += len(page.rows)
        if len(place.waiting) >= _TOGETHER:
            await self._flush(place)

    async def _put_part(self, place: _Place, seal: HeadSeal, page: Page) -> None:
        """Put rows of a session of which more follows; a closed head stands in for its own."""
        standing = seal.encode(Head(version=0, generation=GENERATION, flags=int(HeadFlag.CLOSED)))
        raw, _ = await place.backend.tail(page.session, 0)
        if raw not in (b"", standing):
            self._part = (page.session, b"")  # it was put before, as its last page will show
            return
        await place.backend.swap(Change(page.session, raw, standing, rows=page.rows))
        self._put.records += len(page.rows)
        self._part = (page.session, standing)

    async def _flush(self, place: _Place | None) -> None:
        """Put what waits, and raise the floors of what was put."""
        if place is None or not place.waiting:
            return
        waiting, place.waiting = place.waiting, []
        changes, floors = [change for change, _ in waiting], []
        answers = await swap_all(place.backend, changes)
        for (change, floor), stands in zip(waiting, answers, strict=True):
            if stands is None:
                floors += [floor] if floor is not None else []
            else:
                floors += _floor_of(place.keyring.head_seal(change.session), stands, change)
        await self._keystore.raise_floors(floors)

    async def _forget_floors(self, number: int, place: _Place) -> None:
        """Expect nothing of sessions that were begun after the backup."""

        async def is_absent(row: SessionRow) -> bool:
            return not (await place.backend.tail(row.handle, 0)).head

        after = 0
        while page := await self._keystore.page(number, after=after, limit=_TOGETHER, user=None):
            after = page[-1][0]
            rows = [row for _, _, row in page if row.floor]
            absent = await few_at_once(rows, is_absent)
            gone = [row.handle for row, is_gone in zip(rows, absent, strict=True) if is_gone]
            if gone:
                await self._keystore.forget_floors(gone)


def restored_head(head: Head, floor: int) -> Head:
    """Give the head of a session that is put back: of a version and an epoch that nobody has seen."""
    return msgspec.structs.replace(
        head, version=max(head.version, floor) + _LATER_VERSIONS, epoch=head.epoch + _LATER_EPOCHS
    )


def _change(page: Page, seal: HeadSeal, owner: Owner, expected: bytes) -> tuple[Change | None, Floor | None]:
    """Give what puts the last page of a session, and its floor; nothing where its key is another one by now."""
    try:
        head = seal.decode(page.head)
    except IntegrityError:
        # It was damaged when it was saved, and whoever reads it is told so, as before.
        return Change(page.session, expected, page.head, rows=page.rows), None
    if head.generation != owner.generation:
        return None, None
    new = restored_head(head, owner.floor)
    until = NEVER if new.keep else new.latest_expiry
    trim = (1, head.first) if expected else (0, 0)
    change = Change(page.session, expected, seal.encode(new), rows=page.rows, trim=trim, due=new.due, until=until)
    return change, Floor(page.session, new.version, new.latest_expiry)


def _floor_of(seal: HeadSeal, stands: bytes, change: Change) -> list[Floor]:
    """Give the floor of a session that an earlier try has put already.

    Raises:
        ConfigurationError: it lies there in another state.
    """
    if stands == change.head:
        return []
    with contextlib.suppress(IntegrityError):
        there, ours = seal.decode(stands), seal.decode(change.head)
        same = (there.next, there.last_tag, there.generation) == (ours.next, ours.last_tag, ours.generation)
        if same and there.version >= _LATER_VERSIONS:
            return [Floor(change.session, there.version, there.latest_expiry)]
    raise ConfigurationError(
        f"session {change.session.hex()} lies there in another state: a backup is restored into a data store that "
        "nobody has used yet"
    )
