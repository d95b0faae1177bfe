"""Faults that are put into the code on purpose: what the interleavings have to find."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from securemem.destruction import Destruction
from securemem.ending import Ending, Going
from securemem.keptvalues import KeptValues
from securemem.keys.keyring import Keyring
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.nearby import Pages
from securemem.preserving import Preserving
from securemem.setapart import Preserved


async def _not_closed(_: Ending, session: bytes, going: Going) -> None:
    going.closed.add(session)


def _shred_whatever(keystore: SqliteKeystore, con: sqlite3.Connection, user: int, _: set[bytes]) -> bool:
    own, visited = keystore._sessions_of(con, user)
    return bool(_SHRED(keystore, con, user, own | visited))


_SHRED = SqliteKeystore._shred_user
_STUB_OUT = Ending.stub_out
_MINT = Keyring.mint


async def _stub_out(ending: Ending, session: bytes, guest: bytes, going: Going) -> None:
    if session not in going.left:
        await _STUB_OUT(ending, session, guest, going)


async def _mint_for_anybody(keyring: Keyring, user_id: str, session_id: str, title: Any, *, owner: Any = None) -> Any:
    return await _MINT(keyring, user_id, session_id, title)


async def _nothing(*_: Any, **__: Any) -> None:
    """Preserve nothing."""


async def _as_it_stands(_: KeptValues, records: list[Preserved], *__: Any, **___: Any) -> list[Preserved]:
    return records


async def _nobody(*_: Any, **__: Any) -> bool:
    """Know of nobody else who preserves."""
    return False


async def _whatever(pages: Pages, replica: Any, keys: Any, limit: int, before: int | None, _: int) -> Any:
    return await replica.tail(keys.handle, limit, before)


Fault = tuple[object, str, Any]

FAULTS: dict[str, Fault] = {
    "heads are not closed": (Ending, "close", _not_closed),
    "keys are shredded whatever became known meanwhile": (SqliteKeystore, "_shred_user", _shred_whatever),
    "nothing is preserved": (Preserving, "preserve", _nothing),
    "a replica is believed": (Pages, "_tail_of", _whatever),
    "what a law keeps has pseudonyms that stand for nothing": (KeptValues, "put_back", _as_it_stands),
}
"""What a few dozen seeds find."""

RARE_FAULTS: dict[str, Fault] = {
    "guests' records are met once only": (Ending, "stub_out", _stub_out),
    "a fork goes to whoever has the name by now": (Keyring, "mint", _mint_for_anybody),
    "what another process preserves is not asked for": (Preserving, "is_preserving", _nobody),
    "what a hold put off keeps its keys": (Destruction, "_shred_spared", _nothing),
}
"""What takes a rarer order."""


@contextmanager
def faulty(name: str) -> Iterator[None]:
    """Put a fault into the code."""
    where, what, instead = (FAULTS | RARE_FAULTS)[name]
    with mock.patch.object(where, what, instead):
        yield
