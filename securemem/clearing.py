"""Clears a session on its owner's word: its key first, then its messages, and what they left on disk."""

from __future__ import annotations

from securemem.compose import Deployment
from securemem.conversation import Conversation
from securemem.ending import Outcome
from securemem.errors import LegalHoldError
from securemem.ledger.acts import ActKind
from securemem.model import to_milliseconds


async def clear(deployment: Deployment, conversation: Conversation, *, purge_seconds: float) -> None:
    """Clear a session; one that is not there is fine.

    Args:
        deployment: of the store.
        conversation: the session's state in this process. What a failure interrupted is gone on with.
        purge_seconds: how long to work on what is left on disk.

    Raises:
        LegalHoldError: a legal hold is on it; nothing was destroyed.
    """
    async with conversation.lock:
        act = conversation.interrupted
        if act is None:
            # A clear is not hot: the keystore is asked, so that what other processes did is known.
            conversation.ask_anew()
            keys = await conversation.keys()
            if keys is None:
                return
            await deployment.office.kept.check(keys.user, keys.handle)
            act = await deployment.destruction.decide_session(keys.handle, keys.generation, ActKind.CLEAR)
        conversation.interrupted = act
        outcome = await deployment.destruction.carry_out(act, purge_seconds=None)
        conversation.interrupted = None
        conversation.reset()
    # Whoever begins the session anew does not wait for this.
    await deployment.destruction.purge(Outcome(), purge_seconds)
    await deployment.ledger.finish(act.counter, at=to_milliseconds(deployment.clock()))
    if outcome.held:
        raise LegalHoldError("a legal hold was placed on the session at the same moment; nothing was destroyed")
