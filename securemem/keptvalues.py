"""Gives back what pseudonyms stand for in what is preserved, so that it stays whole when its person's vault goes.

Nobody but the person reads what is preserved, in their export. Were its values left in the vault, whoever comes back
under the same id, or may reveal pseudonyms, would be shown what a law alone keeps. What a hold keeps in its place has
its values in the vault, past their time too.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

from securemem import codec
from securemem.crypto.envelope import FLAG_COMPRESSED, parse
from securemem.errors import IntegrityError, InvalidInputError
from securemem.keys.keyring import Keyring
from securemem.keys.unwrapped import SessionKeys
from securemem.model import VAULT, Message
from securemem.ports import ALL_ROWS, Backend
from securemem.privacy import reveal
from securemem.privacy.vault import Entry, Vault
from securemem.setapart import Preserved

_BEFORE_ANY_END = datetime.min.replace(tzinfo=UTC)
"""The time at which entries are asked for: those past theirs too, for what they stand in is kept for longer."""


class KeptValues:
    """What pseudonyms stand for, while one act preserves what it has to, or one export gives what is kept."""

    def __init__(self, backend: Backend, keyring: Keyring) -> None:
        """Take the stores."""
        self._backend = backend
        self._keyring = keyring
        self._vaults: dict[str, SessionKeys] = {}

    def take(self, vault: SessionKeys) -> None:
        """Take the keys of a vault that the keystore is about to lose: messages may still be met that need it."""
        self._vaults[vault.user_id] = vault

    async def put_back(self, records: list[Preserved], user_id: str, *, generation: int | None) -> list[Preserved]:
        """Give a person's records as they were said.

        A pseudonym that stands for nothing any more stays, and so do all where the keys of the vault do not open.

        Args:
            records: what is preserved.
            user_id: the person.
            generation: of the person's key that is destroyed, so that the vault of who is back is not taken for theirs;
                None where their key stays.
        """
        if not any(record.message().pseudonymised for record in records):
            return records
        try:
            vault = await self._read(user_id, generation)
        except IntegrityError:
            return records
        return [_as_said(record, vault) for record in records]

    async def as_said(self, messages: list[Message], *, owner: str) -> list[Message]:
        """Give messages of a session as they were said, whatever is past its time of what their pseudonyms stand for.

        Args:
            messages: as they stand.
            owner: of the session.
        """
        people = {message.user_id or owner for message in messages if message.pseudonymised}
        vaults = {person: await self._read(person, None) for person in people}
        return [
            reveal.original(message, vaults[message.user_id or owner], _BEFORE_ANY_END)
            if message.pseudonymised
            else message
            for message in messages
        ]

    async def _read(self, user_id: str, generation: int | None) -> Vault:
        """Read a vault by its rows, each of which bears its seal: whether any is missing does not matter here."""
        vault = Vault()
        keys = self._vaults.get(user_id)
        if keys is None:
            keys = await self._find(user_id)
            if keys is None or (generation is not None and keys.person.generation > generation):
                return vault
        _, rows = await self._backend.tail(keys.handle, ALL_ROWS)
        for seq, raw in reversed(rows):
            with contextlib.suppress(IntegrityError):  # what is damaged keeps nobody from being forgotten
                sealed = parse(raw, session=keys.handle, seq=seq)
                payload = keys.owner.open(sealed)
                if sealed.flags & FLAG_COMPRESSED:
                    payload = codec.decompress(payload, seq=seq)
                vault.add(Entry.of(codec.decode(payload, seq, None)))
        return vault

    async def _find(self, user_id: str) -> SessionKeys | None:
        """Give the keys of a vault, which nobody wipes while they are in use."""
        _, user, session = await self._keyring.look_up(user_id, VAULT)
        if user is None or session is None:
            return None
        return await self._keyring.at(user.handle, session.handle)


def _as_said(record: Preserved, vault: Vault) -> Preserved:
    message = record.message()
    said = reveal.original(message, vault, _BEFORE_ANY_END)
    if said is message or said.timestamp is None:
        return record
    try:
        payload = codec.encode(said, said.timestamp, guest=said.user_id is not None)
    except InvalidInputError:
        return record  # as it was said it is longer than any message may be
    payload, compressed = codec.compress(payload) if record.compressed else (payload, False)
    return record._replace(payload=payload, compressed=compressed)
