"""Legal holds as a caller places and releases them (`memory.holds`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from securemem import codec
from securemem.compose import Deployment
from securemem.rights.hold import LegalHold


class LegalHolds:
    """The holds of one store's tenant."""

    def __init__(self, ready: Callable[[], Awaitable[Deployment]]) -> None:
        """Take what opens the store, where it is not open yet."""
        self._ready = ready

    async def place(self, user_id: str, *, session_id: str | None = None, reason_code: str) -> LegalHold:
        """Hold all that is kept of a person, or one session: nothing of it is deleted, and nobody reads it.

        Args:
            user_id: the person.
            session_id: one of their sessions; all of them, and those to come, if not given.
            reason_code: why, in a code of your own; no personal data, for it outlives the person's.

        Returns:
            The hold, which stands from now on.

        Raises:
            InvalidInputError: nothing is held of this person, or in this session.
        """
        codec.check_id(user_id, "user_id")
        codec.check_id(reason_code, "reason_code")
        if session_id is not None:
            codec.check_id(session_id, "session_id")
        return await (await self._ready()).holding.place(user_id, session_id=session_id, reason_code=reason_code)

    async def release(self, hold_id: str) -> LegalHold:
        """Release a hold. What no other holds is read again, and goes when its time has come.

        Raises:
            InvalidInputError: there is no hold of this id.
        """
        return await (await self._ready()).holding.release(hold_id)

    async def list(self) -> list[LegalHold]:
        """Give the holds that stand, the oldest first."""
        return await (await self._ready()).holding.standing()
