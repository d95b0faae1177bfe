"""Legal holds as a caller places and releases them (`memory.holds`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from securemem import codec
from securemem.errors import InvalidInputError

if TYPE_CHECKING:
    from securemem.host import SessionHost
    from securemem.office import Office
    from securemem.rights.hold import LegalHold


class LegalHolds:
    """The holds of one store's tenant."""

    def __init__(self, host: SessionHost) -> None:
        """Take what the store's sessions share. What is begun is done whole, whether its caller waits for it or not."""
        self._host = host

    async def place(
        self, user_id: str, *, session_id: str | None = None, reason_code: str, actor: str | None = None
    ) -> LegalHold:
        """Hold all that is kept of a person, or one session: nothing of it is deleted, and nobody reads it.

        Args:
            user_id: the person.
            session_id: one of their sessions; all of them, and those to come, if not given.
            reason_code: why, in a code of your own; no personal data, for it outlives the person's.
            actor: who places it, who needs the right `hold` where the policy has roles.

        Returns:
            The hold, which stands from now on.

        Raises:
            InvalidInputError: nothing is held of this person, or in this session.
            AccessDeniedError: the policy gives the actor no right to hold.
        """
        codec.check_id(user_id, "user_id")
        codec.check_id(reason_code, "reason_code")
        if session_id is not None:
            codec.check_id(session_id, "session_id")
        async with self._host.in_use() as deployment:
            self._host.check_right(actor, "hold")
            return await self._host.under_way.through(
                deployment.office.holding.place(user_id, session_id=session_id, reason_code=reason_code, actor=actor)
            )

    async def release(self, hold_id: str, *, actor: str | None = None) -> LegalHold:
        """Release a hold. What no other holds is read again, and goes when its time has come.

        An erasure that waited for this is finished before it returns, also where it was released before and that was
        left undone.

        Args:
            hold_id: as `place` gave it.
            actor: who releases it, likewise. Where the policy's `safety.two_person` has `hold_override`, two have to.

        Returns:
            The hold; one that `waits` stands until somebody else releases it too.

        Raises:
            InvalidInputError: there is no hold of this id, or it was released before.
            ConflictError: two have to, and no actor was named.
            AccessDeniedError: the policy gives the actor no right to hold.
        """
        async with self._host.in_use() as deployment:
            self._host.check_right(actor, "hold")
            released = await self._host.under_way.through(_release(deployment.office, hold_id, actor))
            if released is None:
                raise InvalidInputError("this hold was released")
            return released

    async def list(self) -> list[LegalHold]:
        """Give the holds that stand, the oldest first."""
        async with self._host.in_use() as deployment:
            return await deployment.office.holding.standing()


async def _release(office: Office, hold_id: str, actor: str | None) -> LegalHold | None:
    """Release a hold, as `Holding.release`, and finish what waited for that."""
    released = await office.holding.release(hold_id, actor=actor)
    if released is None or not released.waits:
        await office.requesting.go_on()
    return released
