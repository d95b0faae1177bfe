"""The demo's try at opening records with every key that is left, past the store's own refusals."""

from __future__ import annotations

import json
from pathlib import Path

from securemem.crypto.envelope import parse
from securemem.errors import IntegrityError
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.kms.file import FileKms


async def opened_by_what_is_left(folder: Path, sealed: dict[bytes, dict[int, bytes]]) -> dict[bytes, int]:
    """Try every session key in the keystore on every record.

    Args:
        folder: the store's.
        sealed: records by session handle and seq.

    Returns:
        How many records of each session opened.
    """
    kek = folder / "conversation.kek"
    kms, keystore = FileKms(kek), SqliteKeystore(str(folder / "conversation.keys.db"))
    try:
        await keystore.open()
        await kms.open(bytes.fromhex(json.loads(kek.read_text())["deployment"]), create=False)
        opened = dict.fromkeys(sealed, 0)
        for _, _, tenant in await keystore.tenants():
            ring = await open_keyring(keystore, kms, tenant)
            for handle, records in sealed.items():
                opened[handle] += len(await _opened(ring, handle, records))
            await ring.aclose()
        return opened
    finally:
        await keystore.aclose()
        await kms.aclose()


async def _opened(ring: Keyring, session: bytes, records: dict[int, bytes]) -> set[int]:
    found = set()
    async for keys in ring.sessions(None):
        for seq, record in records.items():
            try:
                keys.owner.open(parse(record, session=session, seq=seq))
            except IntegrityError:
                continue
            found.add(seq)
    return found
