"""The public handle of a session: checks what is asked, and hands on to the conversation that all handles share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NoReturn, Protocol, TypeVar

from securemem import codec, window
from securemem.conversation import Conversation
from securemem.errors import ConfigurationError, InvalidInputError, UserErasedError
from securemem.model import Message
from securemem.ports import Tokenizer
from securemem.reader import Reader
from securemem.residue import PURGE_SECONDS, check_purge_seconds
from securemem.writer import Writer

T = TypeVar("T")


class Host(Protocol):
    """What a session needs of the store that it is in."""

    context_window: int
    tokenizer: Tokenizer
    reader: Reader
    writer: Writer

    def session(self, session_id: str, *, user_id: str | None = None, tags: Iterable[str] = ()) -> Session:
        """Give a handle of another session."""

    def begin(self) -> None:
        """Count a call that is under way, so that the store is not closed beneath it."""

    def end(self) -> None:
        """Count it out."""

    async def conversation(self, user_id: str, session_id: str, tags: tuple[str, ...]) -> Conversation:
        """Give the state that all handles of a session share, and open the store if it is not open yet."""

    async def destroy(self, conversation: Conversation, *, purge_seconds: float) -> None:
        """Destroy a session, its key first, and remove what that leaves on disk, for as long as is said."""


class Session:
    """One conversation of one user; a handle costs nothing and does no I/O until it is used."""

    def __init__(
        self,
        host: Host,
        session_id: str,
        *,
        user_id: str,
        tags: tuple[str, ...],
        purpose: str | None = None,
        actor: str | None = None,
    ) -> None:
        """Made by `SecureMemory.session`."""
        self.purpose = purpose
        self.actor = actor
        self._host = host
        self._session_id = session_id
        self._user_id = user_id
        self._tags = tags
        self._shared: Conversation | None = None

    @property
    def session_id(self) -> str:
        """The id that the caller gave."""
        return self._session_id

    @property
    def user_id(self) -> str:
        """Whose session it is."""
        return self._user_id

    async def add(
        self,
        role: str,
        content: Any,
        *,
        timestamp: datetime | None = None,
        metadata: dict[str, Any] | None = None,
        user_id: str | None = None,
        expires_at: datetime | None = None,
        ttl: float | None = None,
    ) -> Message:
        """Append a message.

        Args:
            role: who speaks.
            content: text, or JSON as a framework sends it.
            timestamp: when it was said, aware; now if not given.
            metadata: a JSON object; `{"pinned": True}` on a system message keeps it in the window, whatever the limits;
                a session has at most 16 of them, the newest.
            user_id: whose data it is, where that is not the session's owner.
            expires_at: from when it is never returned again, aware.
            ttl: the same in seconds from now.

        Returns:
            The message as it is stored, with its `seq`.

        Raises:
            InvalidInputError: it cannot be stored; nothing was written.
            IntegrityError: the session is not as it was written.
            UserErasedError: its person was forgotten while this handle was open.
            BackendUnavailableError: a store does not answer. On this machine nothing was written; on a server it was
                written once at most, so read before adding it again.
        """
        message = Message(role, content, timestamp=timestamp, metadata=metadata, user_id=user_id, expires_at=expires_at)
        return (await self.add_many((message,), ttl=ttl))[0]

    async def add_many(self, messages: Iterable[Message], *, ttl: float | None = None) -> list[Message]:
        """Append messages in one atomic step: all of them or none.

        Args:
            messages: in order.
            ttl: how long they live, in seconds from now.

        Returns:
            The messages as they are stored.

        Raises:
            InvalidInputError: one of them cannot be stored; nothing was written.
            IntegrityError, UserErasedError, BackendUnavailableError: as `add`.
        """
        writer = self._host.writer
        prepared = writer.prepare(_messages(messages), owner=self._user_id, ttl=ttl)
        return await self._with(lambda shared: writer.append(shared, prepared)) if prepared else []

    async def history(self, limit: int = 100, before: int | None = None) -> list[Message]:
        """Give the newest `limit` messages with a seq below `before`, oldest first.

        Raises:
            InvalidInputError: a negative limit.
            IntegrityError: a record is not as it was written; the error names it, and nothing is returned.
            UserErasedError: its person was forgotten while this handle was open.
        """
        limit = codec.check_count(limit, "limit")
        if before is not None:
            before = codec.check_count(before, "before")
        if not limit or before == 0:
            return []
        return (await self._with(lambda shared: self._host.reader.newest(shared, limit, before)))[0]

    async def context(
        self, *, max_messages: int | None = None, max_tokens: int | None = None, view: str = "clear"
    ) -> list[Message]:
        """Give what goes to the model: the newest messages that fit, pinned ones first, tool calls with their results.

        Args:
            max_messages: at most so many; the store's `context_window` if not given.
            max_tokens: at most so many tokens, as the store's tokenizer counts them.
            view: "clear".

        Raises:
            InvalidInputError: a negative limit.
            IntegrityError, UserErasedError: as `history`.
        """
        if view != "clear":
            raise ConfigurationError("view has to be 'clear': the policy in force makes no pseudonyms")
        most = self._host.context_window if max_messages is None else codec.check_count(max_messages, "max_messages")
        if max_tokens is not None:
            max_tokens = codec.check_count(max_tokens, "max_tokens")
        if not most:
            return []
        messages, head = await self._with(lambda shared: self._host.reader.newest(shared, most))
        pinned: Sequence[Message] = ()
        if head is not None and head.pins:
            pinned = await self._with(lambda shared: self._host.reader.pinned(shared, messages, head))
        return window.fit(
            messages, max_messages=most, max_tokens=max_tokens, tokenizer=self._host.tokenizer, pinned=pinned
        )

    async def fork(self, session_id: str, *, at: int | None = None) -> Session:
        """Copy this session into a new one of the same user, sealed under a key of its own.

        Args:
            session_id: the new session's id, which must not exist.
            at: the last message to copy, by its seq; all if not given.

        Returns:
            The new session. Clearing one leaves the other whole; erasing the user erases both.

        Raises:
            InvalidInputError: nothing to fork, or no message of this seq.
            ExpiredError: the message of this seq is past its time.
            ConflictError: a session of this id exists.
        """
        codec.check_id(session_id, "session_id")
        if at is not None:
            at = codec.check_count(at, "at")
        copies = await self._with(lambda shared: self._host.writer.copy(shared, at))
        branch = self._host.session(session_id, user_id=self._user_id, tags=copies.tags)
        await branch._with(lambda shared: self._host.writer.start(shared, copies))  # noqa: SLF001  (its own kind)
        return branch

    async def clear(self, *, purge_seconds: float = PURGE_SECONDS) -> None:
        """Destroy the session: its key, its messages, and what they left on disk. The handle can begin anew.

        Args:
            purge_seconds: how long to work on what is left on disk, and to wait for whoever keeps it in use.

        Raises:
            InvalidInputError: no such number; nothing was destroyed.
        """
        seconds = check_purge_seconds(purge_seconds)
        await self._with(lambda shared: self._host.destroy(shared, purge_seconds=seconds))

    async def _with(self, call: Callable[[Conversation], Awaitable[T]]) -> T:
        """Do something with the state that all handles share.

        A handle that is used for the first time begins anew where the person was forgotten before; one that was open
        then says so from then on.
        """
        self._host.begin()
        try:
            shared = self._shared
            if shared is not None:
                return await call(shared)
            shared = await self._open()
            try:
                return await call(shared)
            except UserErasedError:
                if not shared.erased:
                    raise  # it was somebody else: a guest
                return await call(await self._open())
        finally:
            self._host.end()

    async def _open(self) -> Conversation:
        self._shared = shared = await self._host.conversation(self._user_id, self._session_id, self._tags)
        shared.check()
        return shared

    def __repr__(self) -> str:
        return "Session(…)"

    def __reduce__(self) -> NoReturn:
        raise ConfigurationError("a session cannot be pickled: open the store in the process that uses it")


def _messages(messages: Iterable[Message]) -> list[Message]:
    if not isinstance(messages, Iterable):
        raise InvalidInputError("add_many takes a list of Message objects")
    found = list(messages)
    if any(not isinstance(message, Message) for message in found):
        raise InvalidInputError("add_many takes Message objects")
    return found
