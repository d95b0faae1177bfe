"""Whom a leak touches, what it lets an attacker read, and what is to be done: for the hours after a breach.

Messages are readable to whoever has three things: the data, the keystore's wrapped keys, and the KEK of the epoch that
these are wrapped under; ids, to whoever has the last two. All else is unintelligible, which is what GDPR Art. 34(3)(a)
asks for. Whether the authority has to be told (Art. 33, 72 hours) is a question of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from securemem.errors import InvalidInputError
from securemem.keys.keystore import Keystore
from securemem.keys.rows import DESTROYED
from securemem.rights.leaked import Leak, Leaked
from securemem.together import few_at_once

_READS = {
    Leak.DATA: "data: sealed messages; how many and how long they are, the hour of each, when it expires, its class (a "
    "number), which belong to one session, by random handles; no text, name or id",
    Leak.KEYSTORE: "keystore: keys and ids that are wrapped under a KEK; the names of tenants; how many people and "
    "sessions there are, by random handles; no text, and no person's name or id",
    Leak.LEDGER: "ledger: which handles were erased, held, restricted and exported, when and by which rule; reason "
    "codes of holds and policies as they were given; no text, and no person's name or id",
    Leak.KEK: "KEK: with a keystore, or any backup of one from the time of its epochs, every key and id in that; alone "
    "nothing",
    Leak.SEALED_KEK: "KEK: a file that opens with its passphrase alone, which can be guessed at leisure if it is weak",
    Leak.BACKUP: "backup: which store it is of, and when it was taken; the rest is sealed, a keystore's under the KEK "
    "of its epoch, the others' under a key that lies in the keystore",
}
_ROTATE = (
    "Rotate and close: `securemem keys rotate`, then `securemem keys close-epoch --backup FILE`: wrapped keys that "
    "leaked open nothing once their KEK is destroyed, unless that has leaked too"
)
_TODO = {
    Leak.DATA: "See that keystore and KEK have not leaked as well; change the credentials of the data store",
    Leak.KEYSTORE: "Change the credentials of the keystore, and destroy its KEKs before they leak too",
    Leak.LEDGER: "Change the credentials of the ledger; `securemem audit verify` tells whether it was written to too",
    Leak.KEK: "Rotation gives people's keys a new wrapping and not new keys: a keystore that has leaked before, or "
    "leaks from the time of these epochs, is open. See that no data and no keystore backup of that time is in reach",
    Leak.SEALED_KEK: "Change the passphrase and take it for known if it was weak",
    Leak.BACKUP: "Who is in a sealed backup cannot be seen without its key: everybody of today counts. See that "
    "neither the KEK of its epoch nor, for data and ledger, the keystore has leaked as well",
}
_SAFE = (
    "What leaked is unintelligible to whoever has nothing else: of what people have to be told by Art. 34(1), Art. "
    "34(3)(a) GDPR relieves you, as long as the other parts have not leaked as well. Write down why (Art. 33(5))"
)
_OPEN = (
    "What leaked opens itself: Art. 34(3)(a) GDPR does not relieve you of telling these people, if the risk is high "
    "(Art. 34(1)), and the authority has to be told within 72 hours (Art. 33(1))"
)
_HALF = (
    "Alone it is unintelligible, and it is the half that encryption rests on: Art. 34(3)(a) GDPR relieves you only as "
    "far as you are sure that no keystore, or no data, of the time has leaked as well"
)


@dataclass(frozen=True, slots=True)
class BreachScope:
    """What a leak comes to.

    Attributes:
        leaked: what it is.
        people: whom it touches, by handles in hex.
        perhaps: how many more people's keys may have been under the epochs that leaked, for rewrapping keeps them.
        sessions: how many sessions' messages are in it.
        named: whose id, and names of sessions, whoever has all that leaked can read, by handles in hex.
        readable: whose messages, likewise.
        reads: what an attacker can read.
        article: what Art. 34(3)(a) GDPR makes of it.
        todo: what is to be done, in order.
    """

    leaked: tuple[str, ...]
    people: tuple[str, ...]
    perhaps: int
    sessions: int
    named: tuple[str, ...]
    readable: tuple[str, ...]
    reads: tuple[str, ...]
    article: str
    todo: tuple[str, ...]


async def scope(keystore: Keystore, deployment: bytes, leaked: Sequence[Leaked], epochs: Iterable[int]) -> BreachScope:
    """Say what a leak comes to.

    Args:
        keystore: of the deployment, which says who is there today.
        deployment: its id.
        leaked: files, as `leaked.look_into` gave them.
        epochs: of KEKs that leaked by themselves.

    Raises:
        InvalidInputError: nothing was named, an epoch that never was, or a file of another deployment.
    """
    loose = frozenset(epochs)
    known = {row.epoch: row.state for row in await keystore.epochs()}
    if not loose and not leaked:
        raise InvalidInputError("name what leaked: --epoch N, or --file F, as often as there is more")
    if loose - known.keys():
        raise InvalidInputError(
            f"there never was an epoch {min(loose - known.keys())}: `securemem keys status` lists them"
        )
    if any(each.deployment != deployment for each in leaked):
        raise InvalidInputError("the file is another deployment's: open that one's store")
    parts = [*leaked, *([Leaked(Leak.KEK, deployment, epochs=loose)] if loose else [])]
    sessions = frozenset(session for each in parts for session in each.sessions)
    reach = _reach(parts, await _living(keystore), await _owners(keystore, sessions))
    keks = [epoch for each in parts for epoch in each.epochs]
    half = any(each.what is Leak.KEK for each in parts)
    return BreachScope(
        tuple(each.what.value for each in parts),
        _in_hex(reach.people),
        reach.perhaps,
        len(sessions),
        _in_hex(reach.named),
        _in_hex(reach.readable),
        tuple(dict.fromkeys(_READS[each.what] for each in parts)),
        _OPEN if reach.named else _HALF if half else _SAFE,
        _todo(parts, rotates=not keks or any(known.get(epoch) != DESTROYED for epoch in keks)),
    )


class _Reach(NamedTuple):
    """As `BreachScope`, by handles."""

    people: frozenset[bytes]
    perhaps: int
    named: frozenset[bytes]
    readable: frozenset[bytes]


def _reach(parts: Sequence[Leaked], living: Iterable[tuple[bytes, int]], own: frozenset[bytes]) -> _Reach:
    """Say how far it goes.

    Args:
        parts: what leaked.
        living: who has a key today, and under which epoch.
        own: who has sessions in the data that leaked.
    """
    keks = frozenset(epoch for each in parts for epoch in each.epochs)
    bare = frozenset(epoch for each in parts if each.what is Leak.KEK for epoch in each.epochs)
    everybody = frozenset(person for person, _ in living)
    under = frozenset(person for person, epoch in living if epoch in keks)
    later = frozenset(person for person, epoch in living if keks and epoch > min(keks))
    backups = {each.store for each in parts if each.what is Leak.BACKUP}
    in_backups = everybody if backups & {"data", "keystore"} else frozenset()
    # What is in a sealed backup is seen when it is open; today's people stand in for those of its day.
    opened = everybody if any(each.sealed_under and each.sealed_under in bare for each in parts) else frozenset()
    named = opened | {person for each in parts for person, epoch in each.people if epoch in bare}
    sessions = frozenset(session for each in parts for session in each.sessions)
    owners = {person for each in parts for session, person in each.owners if session in sessions} | (own & opened)
    people = under | own | in_backups | {person for each in parts for person, _ in each.people}
    return _Reach(people, len(later - people), named, named if "data" in backups else named & owners)


async def _living(keystore: Keystore) -> set[tuple[bytes, int]]:
    """Give everybody who has a key today, and the epoch that it is wrapped under."""
    epochs = await keystore.users_by_epoch()
    most, last = sum(epochs.values()), max(epochs, default=0)
    return {(row.handle, row.epoch) for _, row in await keystore.users_under(last + 1, max(1, most))}


async def _owners(keystore: Keystore, sessions: Iterable[bytes]) -> frozenset[bytes]:
    """Give whose sessions these are, guests among them; of those who were erased nothing is known any more."""

    async def of_one(session: bytes) -> set[bytes]:
        owner = await keystore.owner_of(session)
        if owner is None:
            return set()
        return {owner.user, *(guest.user.handle for guest in await keystore.guests(session))}

    return frozenset().union(*await few_at_once(sorted(sessions), of_one))


def _in_hex(people: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(sorted(person.hex() for person in people))


def _todo(parts: Sequence[Leaked], *, rotates: bool) -> tuple[str, ...]:
    kinds = list(dict.fromkeys(each.what for each in parts))
    turn = rotates and any(kind in kinds for kind in (Leak.KEYSTORE, Leak.KEK, Leak.SEALED_KEK, Leak.BACKUP))
    return (*([_ROTATE] if turn else []), *(_TODO[kind] for kind in kinds))
