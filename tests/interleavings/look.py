"""Looks at all that is left when everything has come to rest, with every key that lives."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from securemem import UserErasedError, codec
from securemem.compose import Deployment
from securemem.crypto.envelope import Sealer, parse
from securemem.crypto.head import is_stub
from securemem.crypto.secret import RawKey
from securemem.errors import IntegrityError, UserRestrictedError
from securemem.keys.unwrapped import open_title
from securemem.ledger.acts import ActKind
from securemem.ledger.holds import Holds
from securemem.ledger.holds import Kind as HoldKind
from securemem.privacy.tokens import Token
from securemem.setapart import shown_name

from .deeds import FORKS, Stage, said_in
from .told import Kind, Place, Read, Said

_ALL_ROWS = 0xFFFFFFFF


class Key(NamedTuple):
    """A session's key, or a guest's for a session: whose it is, where, and what the session is called."""

    user: bytes
    session: bytes
    place: Place
    preserves: bool
    raw: bytes


class Sight(NamedTuple):
    """What lies in the stores.

    Attributes:
        texts: that open, with where, as they were said.
        values: what pseudonyms stand for, with where.
        orphans: rows that lie under no key.
    """

    texts: dict[str, list[Key]]
    values: dict[str, list[Key]]
    orphans: list[bytes]


async def keys_of(deployment: Deployment, people: set[str]) -> list[Key]:
    """Give every key that the keystore has of some people's sessions."""
    keyring, found = deployment.keyring, []
    async for user_row, row in keyring.rows(None):
        user = await keyring.user(user_row, None)
        if user.user_id not in people:
            continue
        raw = user.unwrap_session_key(row.handle, row.generation, row.wrapped)
        name = open_title(raw, keyring.tenant, user.handle, row).session_id
        place = (user.user_id, shown_name(name))
        found.append(Key(user.handle, row.handle, place, name != place[1], raw.expose_secret()))
        for guest_row in await keyring.keystore.guests(row.handle):
            guest = await keyring.user(guest_row.user, None)
            key = guest.unwrap_session_key(row.handle, *guest_row.key)
            found.append(Key(guest.handle, row.handle, place, name != place[1], key.expose_secret()))
    return found


async def sight(stage: Stage, *, thorough: bool) -> Sight:
    """Open every record of every session with every key; in a thorough look, with the keys of other sessions too."""
    deployment = await stage.world.processes[-1].host.ready()
    keys = await keys_of(deployment, set(stage.people))
    buried = {grave.session for act in await deployment.ledger.acts() for grave in act.tombstones}
    living = {key.session for key in keys}
    opened: list[tuple[Key, Any]] = []
    orphans = []
    for session in sorted(await stage.world.handles() | buried | living):
        _, rows = await deployment.backend.tail(session, _ALL_ROWS)
        if rows and session not in living and (not stage.mark or session in buried):
            orphans.append(session)
        mine = [key for key in keys if thorough or key.session == session]
        sealers = [
            (key, _sealer(deployment, key, session, user)) for key in mine for user in _users(key, keys, session)
        ]
        for seq, raw in rows:
            if not is_stub(raw):
                opened += _opened(raw, seq, session, sealers)
    return _as_said(opened, orphans)


def _as_said(opened: list[tuple[Key, Any]], orphans: list[bytes]) -> Sight:
    """Put what the vaults say in place of pseudonyms."""
    texts: dict[str, list[Key]] = {}
    values: dict[str, list[Key]] = {}
    vaults: dict[bytes, dict[str, str]] = {}
    for key, content in opened:
        if isinstance(content, list):
            entity, number, variant, text, _ = content
            vaults.setdefault(key.user, {})[str(Token(entity, number, variant))] = text
            values.setdefault(text, []).append(key)
    for key, content in opened:
        if isinstance(content, str):
            texts.setdefault(vaults.get(key.user, {}).get(content, content), []).append(key)
    return Sight(texts, values, orphans)


def _users(key: Key, keys: list[Key], session: bytes) -> set[bytes]:
    """Give the people that a record may be bound to which somebody tries to open with a key."""
    return {key.user} if key.session == session else {each.user for each in keys}


def _sealer(deployment: Deployment, key: Key, session: bytes, user: bytes) -> Sealer:
    rows = deployment.keyring.head_seal(session).row_tags(user)
    tenant = deployment.keyring.tenant
    return Sealer(RawKey(key.raw), rows, tenant=tenant, user=user, session=session, generation=1)


def _opened(raw: bytes, seq: int, session: bytes, sealers: list[tuple[Key, Sealer]]) -> Iterator[tuple[Key, Any]]:
    """Give what a record says, once for every key that opens it."""
    sealed = parse(raw, session=session, seq=seq)
    for key, sealer in sealers:
        with contextlib.suppress(IntegrityError):
            yield key, codec.decode(sealer.open(sealed), seq, None).content


async def faults_while_held(stage: Stage) -> list[str]:
    """Give what is wrong as long as holds stand."""
    found = await sight(stage, thorough=False)
    return [
        f"wrongly gone: {_named(said)}, which a hold is on"
        for said in stage.told.said.values()
        if said.text not in found.texts and stage.told.has_to_be_held(said)
    ]


async def faults_at_the_end(stage: Stage, *, thorough: bool) -> list[str]:
    """Give what is wrong when all holds are released and a worker has passed."""
    told, faults = stage.told, []
    found = await sight(stage, thorough=thorough)
    faults += [f"rows under no key: session {session.hex()}" for session in found.orphans]
    for said in told.said.values():
        keys = found.texts.get(said.text, [])
        here = [key for key in keys if key.place == said.place and not key.preserves]
        # A cancelled sweep leaves what is not touched until its lease ends.
        untouched = said.kind is Kind.SCRATCH and any(each.outcome == "cancelled" for each in told.sweeps)
        if keys and told.has_to_be_gone(said) and not untouched:
            faults.append(f"resurrected or wrongly kept: {_named(said)}")
        if said.text in found.values and told.is_forgotten(said):
            faults.append(f"wrongly kept, what a pseudonym stood for: {_named(said)}")
        if here and told.has_to_be_cleared(said) and not _is_forked_to(stage, said):
            faults.append(f"not cleared: {_named(said)}")
        if not here and told.has_to_be_there(said):
            faults.append(f"wrongly gone: {_named(said)}")
        if not keys and told.has_to_be_kept(said):
            faults.append(f"wrongly gone: {_named(said)}, which a law demands")
    faults += [
        f"read, and not to be: {_named(told.said[text])} in {read.place} at {read.began}"
        for read in told.reads
        for text in read.texts
        if not told.may_be_read(told.said[text], read) and not _is_forked_to(stage, told.said[text], read)
    ]
    return faults + await _faults_in_stores(stage) + await _faults_of_readers(stage) + await _faults_of_exports(stage)


def _is_forked_to(stage: Stage, said: Said, read: Read | None = None) -> bool:
    """Tell whether a message may be in a session because it was copied there from another one of its person's."""
    to = read.place if read is not None else said.place
    return any((each.person, each.session) == to for each in stage.told.forks) and not stage.told.has_to_be_gone(said)


async def _faults_in_stores(stage: Stage) -> list[str]:
    """Give acts that are not through, and keys that should have gone with them."""
    deployment = await stage.world.processes[-1].host.ready()
    keystore, faults = deployment.keyring.keystore, []
    acts = await deployment.ledger.acts()
    faults += [f"act {act.counter} is not through" for act in acts if not act.done]
    standing = await Holds(deployment.ledger, deployment.keyring.tenant).active(HoldKind.PRESERVED)
    preserving = {each.session for each in standing}
    for act in acts:
        person = act.user if act.kind is ActKind.ERASE else None
        row = await keystore.user_row(person) if person is not None else None
        if row is not None and row.generation <= act.generation:
            faults.append(f"act {act.counter} left the person's key")
        destroys = act.kind in (ActKind.ERASE, ActKind.CLEAR, ActKind.EXPIRE)
        graves = {each.session for each in act.tombstones if destroys and not each.guest} - preserving
        left = [session.hex() for session in sorted(graves) if await keystore.owner_of(session) is not None]
        faults += [f"act {act.counter} left the key of session {session}" for session in left]
    return faults


async def _faults_of_readers(stage: Stage) -> list[str]:
    """Read every session in every process, by a new handle and by those that are open."""
    told, faults = stage.told, []
    hidden = {each.person for each in [*told.restrictions, *told.holds]}
    for number, process in enumerate(stage.world.processes):
        for place in [(person, session) for person in stage.people for session in FORKS]:
            old = stage.handles.get((number, place))
            for chat in (process.session(place[1], user_id=place[0]), *([old] if old is not None else [])):
                read = Read(told.now(), place=place, lagging=number in stage.world.lagging)
                try:
                    texts = set(said_in(await chat.history(1000)))
                except UserRestrictedError:
                    if place[0] not in hidden:
                        faults.append(f"process {number}, {place}: restricted for no reason")
                    continue
                except UserErasedError:
                    if chat is not old or not any(each.person == place[0] for each in told.erasures):
                        faults.append(f"process {number}, {place}: erased for no reason")
                    continue
                read.ended = told.now()
                faults += [
                    f"process {number} reads in {place}: {_named(told.said[text])}"
                    for text in texts
                    if not told.may_be_read(told.said[text], read) and not _is_forked_to(stage, told.said[text], read)
                ]
                faults += [
                    f"process {number} does not read in {place}: {_named(said)}"
                    for said in told.said.values()
                    if number not in stage.world.lagging
                    and said.place == place
                    and said.text not in texts
                    and told.has_to_be_there(said)
                ]
    return faults


async def _faults_of_exports(stage: Stage) -> list[str]:
    """Export everybody: all that is kept of them is in it, and nothing that has to be gone."""
    told, faults = stage.told, []
    for person in stage.people:
        items = [item async for item in stage.world.processes[1].export_user(person)]
        texts = {item["content"] for item in items if item["kind"] == "message"}
        values = {item["text"] for item in items if item["kind"] == "pseudonym"}
        for said in told.said.values():
            is_gone = told.has_to_be_gone(said)
            if (said.text in texts and is_gone) or (said.text in values and told.is_forgotten(said)):
                faults.append(f"exported of {person}: {_named(said)}")
            wanted = told.has_to_be_there(said) or told.has_to_be_kept(said)
            if said.subject == person and said.text not in texts and wanted:
                faults.append(f"not exported of {person}: {_named(said)}")
    return faults


def _named(said: Said) -> str:
    return f"{said.kind.value} {said.text} of {said.subject} in {said.place} ({said.began}-{said.ended} {said.outcome})"
