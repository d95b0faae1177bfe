"""All that is held of a person, as a stream of JSON objects (GDPR Art. 15 and 20), one after the other.

    {"kind": "export", "format": "securemem-export/1", "user_id", "at", "policy", "recipients"}
    {"kind": "session", "session_id", "created_at", "tags", "messages", "held"}          then its messages, oldest first
    {"kind": "message", "session_id", "seq", "role", "content", "timestamp", "metadata", "expires_at", "user_id"}
    {"kind": "pseudonym", "token", "text"}               what models are shown in place of something of this person's

What the person said in other people's sessions are messages whose `session_id` is null, for its name is somebody
else's. What is past its time is left out, as by every read. What is held or restricted is in it: it is the person's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem import codec
from securemem.conversation import Conversation, OpenConversation
from securemem.crypto.envelope import FLAG_COMPRESSED, Sealed, Sealer
from securemem.crypto.head import Walk
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.keys.rows import UserRow
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.lives import Lives
from securemem.model import NEVER, VAULT, Message, from_milliseconds, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Backend, Clock
from securemem.reader import Reader

if TYPE_CHECKING:
    from securemem.treating import Treating

FORMAT = "securemem-export/1"
_PAGE = 500
_ALL_ROWS = 0xFFFFFFFF


class Sources(NamedTuple):
    """What an export reads from.

    Attributes:
        conversation: gives the state of a session.
        reader: of the store.
        treating: gives back what stands under pseudonyms.
    """

    conversation: OpenConversation
    reader: Reader
    treating: Treating


class Export:
    """Exports what is held of people, from one tenant."""

    def __init__(
        self, backend: Backend, keyring: Keyring, *, lives: Lives, audit: Audit, policy: Policy, clock: Clock
    ) -> None:
        """Take the stores and the policy in force."""
        self._backend = backend
        self._keyring = keyring
        self._lives = lives
        self._audit = audit
        self._policy = policy
        self._clock = clock

    async def of(self, user_id: str, sources: Sources, *, actor: str | None) -> AsyncIterator[dict[str, Any]]:
        """Go through all that is held of a person; of somebody who is not known only the first object is given.

        Raises:
            IntegrityError: something is not as it was written.
        """
        row = await self._keyring.find_user(user_id)
        now = self._clock()
        await self._log(row, actor, now)
        yield {
            "kind": "export",
            "format": FORMAT,
            "user_id": user_id,
            "at": now.isoformat(),
            "policy": {"name": self._policy.name, "sha256": self._policy.sha256},
            "recipients": list(self._policy.recipients),
        }
        if row is None:
            return
        async for keys in self._keyring.sessions(user_id):
            name = keys.title.session_id
            if name == VAULT:
                continue
            messages = await self._messages(await sources.conversation(user_id, name, ()), sources.reader)
            yield {
                "kind": "session",
                "session_id": name,
                "created_at": from_milliseconds(keys.title.created_at).isoformat(),
                "tags": list(keys.title.tags),
                "messages": len(messages),
            }
            for message in await sources.treating.as_said(messages, owner=user_id):
                yield _as_json(message, name)
        async for message in self._elsewhere(row):
            [said] = await sources.treating.as_said([message], owner=user_id)
            yield _as_json(said, None)
        for token, text in await sources.treating.pseudonyms(user_id):
            yield {"kind": "pseudonym", "token": token, "text": text}

    async def _messages(self, conversation: Conversation, reader: Reader) -> list[Message]:
        """Give a session's messages, oldest first, a page at a time from the newest."""
        pages: list[list[Message]] = []
        before: int | None = None
        while True:
            page, head = await reader.newest(conversation, _PAGE, before, even_restricted=True)
            if page:
                pages.append(page)
                before = page[0].seq
            if len(page) < _PAGE or head is None:
                return [message for page in reversed(pages) for message in page]

    async def _elsewhere(self, person: UserRow) -> AsyncIterator[Message]:
        """Go through what a person said in other people's sessions."""
        _, visited = await handles.of_person(self._keyring, person.handle)
        for session in visited:
            sealer = await self._keyring.guests.own(session, person)
            for sealed in await self._records(session, person.handle):
                message = self._opened(sealed, sealer) if sealer is not None else None
                if message is not None:
                    yield message

    async def _records(self, session: bytes, guest: bytes) -> list[Sealed]:
        """Give a guest's records in a session, oldest first, each in its place in the chain."""
        owner = await self._keyring.keystore.owner_of(session)
        raw, rows = await self._backend.tail(session, _ALL_ROWS)
        if owner is None or not raw:
            return []
        seal = self._keyring.head_seal(session)
        walk = Walk(seal, owner.accepts(seal.decode(raw), session), session=session, owner=owner.user)
        records = [sealed for sealed in walk.page(rows) if sealed.subject == guest]
        walk.finish()
        await self._lives.know({sealed.retention_class for sealed in records})
        return records[::-1]

    def _opened(self, sealed: Sealed, sealer: Sealer) -> Message | None:
        """Open a record; None where it is past its time."""
        seen = self._lives.seen(sealed.retention_class, sealed.hour, sealed.expiry)
        if NEVER < seen <= to_milliseconds(self._clock()):
            return None
        payload = sealer.open(sealed)
        if sealed.flags & FLAG_COMPRESSED:
            payload = codec.decompress(payload, seq=sealed.seq)
        return codec.decode(payload, sealed.seq, None if seen == NEVER else from_milliseconds(seen))

    async def _log(self, row: UserRow | None, actor: str | None, now: datetime) -> None:
        who = self._keyring.actor_hash(actor)
        person = row.handle if row is not None else None
        event = Event(EventKind.EXPORT, self._keyring.tenant, person, who, self._policy.digest, to_milliseconds(now))
        await self._audit.write(event)


def _as_json(message: Message, session_id: str | None) -> dict[str, Any]:
    return {
        "kind": "message",
        "session_id": session_id,
        "seq": message.seq,
        "role": message.role,
        "content": message.content,
        "timestamp": message.timestamp.isoformat() if message.timestamp is not None else None,
        "metadata": message.metadata,
        "expires_at": message.expires_at.isoformat() if message.expires_at is not None else None,
        "user_id": message.user_id,
    }
