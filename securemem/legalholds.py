"""Legal holds as a caller places and releases them (`memory.holds`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from securemem import codec
from securemem.compose import Deployment
from securemem.policy.words import Right
from securemem.underway import UnderWay

if TYPE_CHECKING:
    from securemem.rights.hold import LegalHold


class LegalHolds:
    """The holds of one store's tenant."""

    def __init__(
        self,
        ready: Callable[[], Awaitable[Deployment]],
        check_right: Callable[[str | None, Right], None],
        under_way: UnderWay,
    ) -> None:
        """Take what opens the store, where it is not open yet, what refuses an actor, and what carries things through.

        What is begun is done whole, whether its caller waits for it or not.
        """
        self._ready = ready
        self._check_right = check_right
        self._under_way = under_way

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
        deployment = await self._ready()
        self._check_right(actor, "hold")
        return await self._under_way.through(
            deployment.office.holding.place(user_id, session_id=session_id, reason_code=reason_code, actor=actor)
        )

    async def release(self, hold_id: str, *, actor: str | None = None) -> LegalHold:
        """Release a hold. What no other holds is read again, and goes when its time has come.

        An erasure that waited for this is finished before it returns.

        Args:
            hold_id: as `place` gave it.
            actor: who releases it, likewise. Where the policy's `safety.two_person` has `hold_override`, two have to.

        Returns:
            The hold; one that `waits` stands until somebody else releases it too.

        Raises:
            InvalidInputError: there is no hold of this id.
            ConflictError: two have to, and no actor was named.
            AccessDeniedError: the policy gives the actor no right to hold.
        """
        deployment = await self._ready()
        self._check_right(actor, "hold")
        released = await self._under_way.through(deployment.office.holding.release(hold_id, actor=actor))
        if not released.waits:
            await deployment.office.requesting.go_on()
        return released

    async def list(self) -> list[LegalHold]:
        """Give the holds that stand, the oldest first."""
        return await (await self._ready()).office.holding.standing()
