"""What is known of a session to whoever lists them, without reading more of it than its newest message."""

from __future__ import annotations

from securemem.conversation import OpenConversation
from securemem.errors import UserErasedError, UserRestrictedError
from securemem.keys.unwrapped import SessionKeys
from securemem.model import VAULT, SessionInfo, from_milliseconds
from securemem.reader import Page, Reader
from securemem.setapart import shown_name


async def info_of(keys: SessionKeys, conversation: OpenConversation, reader: Reader) -> SessionInfo | None:
    """Give what is known of a session; None where nothing is there, or it holds a person's pseudonyms.

    Args:
        keys: the session's.
        conversation: gives the state of a session in this process.
        reader: of the store.
    """
    if keys.title.session_id == VAULT:
        return None
    try:
        page = await _newest(keys, conversation, reader)
    except UserErasedError:
        # Another process forgot the person since; this row is one of theirs who came back, or that a hold spared.
        page = await _newest(keys, conversation, reader)
    messages, head = page.messages, page.head
    if head is None:
        return None
    return SessionInfo(
        session_id=shown_name(keys.title.session_id),
        user_id=keys.user_id,
        messages=head.live if messages or head.restricted else 0,
        created_at=from_milliseconds(keys.title.created_at),
        last_at=messages[0].timestamp if messages else None,
        tags=keys.title.tags,
        held=head.held,
        restricted=head.restricted and not head.held,
    )


async def _newest(keys: SessionKeys, conversation: OpenConversation, reader: Reader) -> Page:
    """Read a session's newest message; none of one that nobody may read."""
    shared = await conversation(keys.user_id, keys.title.session_id, keys.title.tags)
    try:
        return await reader.newest(shared, 1)
    except UserRestrictedError:
        return Page([], shared.newest.head)
