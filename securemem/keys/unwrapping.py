"""Users' keys out of the KMS: each unwrapped once, however many ask for it at the same time."""

from __future__ import annotations

import asyncio

from securemem.crypto.secret import RawKey
from securemem.crypto.wrapping import box_of, check
from securemem.keys.rows import UserRow
from securemem.keys.unwrapped import user_context
from securemem.ports import KeyManagementService


class Unwrapping:
    """What is being unwrapped, and who waits for it."""

    def __init__(self, kms: KeyManagementService) -> None:
        """Take the KMS, which is open."""
        self._kms = kms
        self._waiting: dict[bytes, list[asyncio.Future[RawKey | None]]] = {}

    async def key_of(self, tenant: bytes, row: UserRow) -> RawKey:
        """Give a key of one's own, unwrapped by whoever asks first; another asks anew where that one was cancelled.

        Args:
            tenant: the tenant's handle.
            row: the user's.

        Raises:
            WrongKeyError: the KMS opens something else than what was wrapped.
            KMSUnavailableError: it does not answer.
        """
        while (waiting := self._waiting.get(row.wrapped)) is not None:
            turn: asyncio.Future[RawKey | None] = asyncio.get_running_loop().create_future()
            waiting.append(turn)
            shared = await turn
            if shared is not None:
                return shared
        waiting = self._waiting[row.wrapped] = []
        key = error = None
        try:
            key = await self._ask(tenant, row)
        except Exception as exc:
            error = exc
            raise
        finally:
            del self._waiting[row.wrapped]
            for turn in waiting:
                if turn.done():  # that one was cancelled
                    continue
                if error is not None:
                    turn.set_exception(error)
                else:
                    turn.set_result(RawKey(key.expose_secret()) if key is not None else None)
        return key

    async def _ask(self, tenant: bytes, row: UserRow) -> RawKey:
        context = user_context(tenant, row.handle, row.generation)
        return check(await self._kms.unwrap(row.epoch, box_of(row.wrapped), context=context), row.wrapped)
