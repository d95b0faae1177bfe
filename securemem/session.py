"""The public handle of a session: checks what is asked, and hands on to the conversation that all handles share."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from msgspec.structs import replace

from securemem import codec, window
from securemem.conversation import Conversation
from securemem.errors import ConfigurationError, InvalidInputError, UserErasedError
from securemem.lives import Label
from securemem.model import Message
from securemem.policy.words import Right
from securemem.ports import Tokenizer
from securemem.reader import Reader
from securemem.residue import PURGE_SECONDS, check_purge_seconds
from securemem.writer import Copies, Writer

if TYPE_CHECKING:
    from securemem.treating import Treating

T = TypeVar("T")

PSEUDONYMISED = "pseudonymised"
VIEWS = ("clear", PSEUDONYMISED)


class Host(Protocol):
    """What a session needs of the store that it is in."""

    context_window: int
    tokenizer: Tokenizer
    treats: Treating | None
    reader: Reader
    writer: Writer

    def session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        tags: Iterable[str] = (),
        purpose: str | None = None,
        actor: str | None = None,
    ) -> Session:
        """Give a handle of another session."""

    def check_right(self, actor: str | None, right: Right) -> None:
        """Refuse what the policy gives an actor no right to; who names no actor is the application itself."""

    async def treating(self) -> Treating:
        """Give what treats personal data, and open the store if it is not open yet."""

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
        self._guests: set[str] = set()

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
        given = _messages(messages)
        return await self._with(lambda shared: self._append(shared, given, ttl)) if given else []

    async def _append(self, shared: Conversation, messages: list[Message], ttl: float | None) -> list[Message]:
        self._host.check_right(self.actor, "write")
        treating = self._host.treats or await self._host.treating()
        try:
            tags = shared.tags_at_hand()
            label = Label(tags if tags is not None else await shared.known_tags(), self.purpose)
            prepared = await treating.prepare(messages, owner=self._user_id, handle=shared.user, ttl=ttl, label=label)
        except UserErasedError:
            # The person's vault knows it first; this session is to know it too.
            shared.ask_anew()
            await shared.keys()
            raise
        stored = await self._host.writer.append(shared, prepared)
        return stored if _are_as_said(stored) else await self._in_clear(stored)

    async def _in_clear(self, messages: list[Message]) -> list[Message]:
        """Give messages as they were said, if the actor may see what stands under their pseudonyms."""
        treating = await self._host.treating()
        return await treating.in_clear(messages, owner=self._user_id, actor=self.actor)

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
        return await self._with(lambda shared: self._history(shared, limit, before))

    async def _history(self, shared: Conversation, limit: int, before: int | None) -> list[Message]:
        self._host.check_right(self.actor, "read")
        messages, _ = await self._host.reader.newest(shared, limit, before, actor=self.actor)
        return messages if _are_as_said(messages) else await self._in_clear(messages)

    async def context(
        self, *, max_messages: int | None = None, max_tokens: int | None = None, view: str = "clear"
    ) -> list[Message]:
        """Give what goes to the model: the newest messages that fit, pinned ones first, tool calls with their results.

        Args:
            max_messages: at most so many; the store's `context_window` if not given.
            max_tokens: at most so many tokens, as the store's tokenizer counts them.
            view: "clear", as it was said, for an actor with the right `reveal`; for others, and as "pseudonymised"
                for everybody, with pseudonyms where the policy makes some. `reveal` takes them out of an answer.

        Raises:
            InvalidInputError: a negative limit.
            IntegrityError, UserErasedError: as `history`.
        """
        if view not in VIEWS:
            raise ConfigurationError(f"view has to be one of {', '.join(VIEWS)}")
        most = self._host.context_window if max_messages is None else codec.check_count(max_messages, "max_messages")
        if max_tokens is not None:
            max_tokens = codec.check_count(max_tokens, "max_tokens")
        if not most:
            return []
        messages, pinned = await self._with(lambda shared: self._window(shared, most, view))
        return window.fit(
            messages, max_messages=most, max_tokens=max_tokens, tokenizer=self._host.tokenizer, pinned=pinned
        )

    async def _window(self, shared: Conversation, most: int, view: str) -> tuple[list[Message], Sequence[Message]]:
        """Give the newest messages and the pinned ones, as they are to be seen."""
        self._host.check_right(self.actor, "read")
        reader = self._host.reader
        messages, head = await reader.newest(shared, most, actor=self.actor)
        pinned = await reader.pinned(shared, messages, head, actor=self.actor) if head is not None and head.pins else []
        every = [*messages, *pinned] if pinned else messages
        if view != PSEUDONYMISED and _are_as_said(every):
            return messages, pinned
        shown = await (self._in_clear(every) if view != PSEUDONYMISED else self._for_models(every))
        return shown[: len(messages)], shown[len(messages) :]

    async def _for_models(self, messages: list[Message]) -> list[Message]:
        treating = await self._host.treating()
        self._guests.update(message.user_id for message in messages if message.user_id is not None)
        return await treating.for_models(messages, owner=self._user_id)

    async def reveal(self, text: str) -> str:
        """Give a model's text with the values that the pseudonyms in it stand for; what is not this user's stays.

        It is written down in the audit first who asked about whom, with no values.

        Args:
            text: what a model said that was shown `context(view="pseudonymised")`. Pseudonyms of guests are known to
                the handle that showed them.

        Raises:
            AccessDeniedError: the policy gives this session's actor no right `reveal`.
            UserErasedError: its person was forgotten while this handle was open.
        """
        return await self._with(lambda shared: self._reveal(shared, text))

    async def _reveal(self, shared: Conversation, text: str) -> str:
        await self._host.reader.newest(shared, 1)  # finds out whether the person was forgotten, or is restricted
        treating = await self._host.treating()
        return await treating.reveal(text, owner=self._user_id, guests=sorted(self._guests), actor=self.actor)

    async def reveal_stream(self, chunks: AsyncIterable[str] | Iterable[str]) -> AsyncIterator[str]:
        """Give the same of a text that comes in pieces, piece by piece.

        What may be the beginning of a pseudonym waits until it is whole: a reader is at most one of them behind.

        Raises:
            AccessDeniedError, UserErasedError: as `reveal`.
        """
        await self._with(lambda shared: self._host.reader.newest(shared, 1))  # as `reveal` does
        treating = await self._host.treating()
        async for piece in treating.reveal_stream(
            chunks, owner=self._user_id, guests=sorted(self._guests), actor=self.actor
        ):
            yield piece

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
        copies = await self._with(lambda shared: self._copies(shared, at))
        branch = self._host.session(
            session_id, user_id=self._user_id, tags=copies.tags, purpose=self.purpose, actor=self.actor
        )
        await branch._with(lambda shared: self._host.writer.start(shared, copies))  # noqa: SLF001  (its own kind)
        return branch

    async def _copies(self, shared: Conversation, at: int | None) -> Copies:
        self._host.check_right(self.actor, "read")
        self._host.check_right(self.actor, "write")
        copies = await self._host.writer.copy(shared, at)
        treating = await self._host.treating()
        messages = await treating.prepare_again(copies.messages, owner=self._user_id, handle=copies.owner)
        return copies._replace(messages=messages)

    async def clear(self, *, purge_seconds: float = PURGE_SECONDS) -> None:
        """Destroy the session: its key, its messages, and what they left on disk. The handle can begin anew.

        Args:
            purge_seconds: how long to work on what is left on disk, and to wait for whoever keeps it in use.

        Raises:
            InvalidInputError: no such number; nothing was destroyed.
            LegalHoldError: a legal hold or a law demands that something in it is kept; nothing was destroyed.
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


def _are_as_said(messages: list[Message]) -> bool:
    """Tell whether no pseudonym stands in any of some messages."""
    for message in messages:  # noqa: SIM110  (a generator would take twice as long, on the path of every read)
        if message.pseudonymised:
            return False
    return True


def _messages(messages: Iterable[Message]) -> list[Message]:
    if not isinstance(messages, Iterable):
        raise InvalidInputError("add_many takes a list of Message objects")
    found = list(messages)
    if any(not isinstance(message, Message) for message in found):
        raise InvalidInputError("add_many takes Message objects")
    # Whether pseudonyms stand in a message is the store's to say, who put them there.
    return [replace(message, pseudonymised=False) if message.pseudonymised else message for message in found]
