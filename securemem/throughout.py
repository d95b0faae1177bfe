"""Has what an act did lie on one server, all of it, before the stamps say so.

A Redis that goes back to an older state while an act is under way counts as much as before the act, and so nobody
refuses it: whatever it has lost of the act is done once more. The keystore and the ledger are told after that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from securemem.errors import NotReadyError
from securemem.keys.keystore import Store
from securemem.model import Stamp
from securemem.ports import Backend, Reconnecting

_TRIES = 3


async def throughout(backend: Backend, work: Callable[[], Awaitable[None]]) -> None:
    """Work on the data; anew where its server may have gone back meanwhile.

    Args:
        backend: the data store.
        work: may be repeated.

    Raises:
        NotReadyError: the server may have gone back each time.
    """
    for _ in range(_TRIES):
        before = _encounters(backend)
        await work()
        if _encounters(backend) == before:
            return
    raise NotReadyError(
        "the server of the data was replaced or started anew again and again, and may have lost some of what was done: "
        "the act is not through; a worker goes on with it, or whoever opens the store next"
    )


async def carry_through(backend: Backend, keystore: Store, act: Callable[[], Awaitable[Stamp]]) -> None:
    """Carry out an act and stamp data and keystore.

    The data comes first: data whose stamp counts less than the keystore's has gone back.

    Args:
        backend: the data store.
        keystore: that belongs to it.
        act: carries it out, from wherever it was left, and gives the stamp that says so.

    Raises:
        NotReadyError: as `throughout`; only the data may be stamped, and the act is not through.
    """
    stamp: Stamp | None = None

    async def work() -> None:
        nonlocal stamp
        stamp = await act()
        await backend.stamp(stamp)

    await throughout(backend, work)
    if stamp is not None:
        await keystore.stamp(stamp)


def _encounters(backend: Backend) -> int:
    return backend.encounters if isinstance(backend, Reconnecting) else 0
