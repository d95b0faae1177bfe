"""The public handle of a session: checks what is asked, and hands on to the conversation that all handles share."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from msgspec.structs import replace

from securemem import codec, window
from securemem.conversation import Conversation
from securemem.errors import ConfigurationError, InvalidInputError, UserErasedError
from securemem.keys.rows import Person
from securemem.lives import Label
from securemem.model import Message
from securemem.policy.words import Right
from securemem.ports import Tokenizer
from securemem.preparing import Prepared
from securemem.reader import Page, Reader
from securemem.residue import PURGE_SECONDS, check_purge_seconds
from securemem.writer import Copies, Writer

if TYPE_CHECKING:
    from securemem.privacy.reveal import Stream
    from securemem.treating import Seen, Treating

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

    async def rectify(
        self, conversation: Conversation, seq: int, content: Any, *, actor: str | None, purge_seconds: float
    ) -> Message:
        """Put another content in place of a message's, and remove what that leaves on disk, for as long as is said."""

    async def destroy(self, conversation: Conversation, *, purge_seconds: float) -> None:
        """Destroy a session, its key first, and remove what that leaves on disk, for as long as is said."""


class Session:
    """One conversation of one user; a handle costs nothing and does no I/O until it is used."""

    __slots__ = (
        "__weakref__",
        "_guests",
        "_host",
        "_seen",
        "_session_id",
        "_shared",
        "_tags",
        "_user_id",
        "actor",
        "purpose",
    )

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
        self._seen: Seen | None = None

    @property
    def session_id(self) -> str:
        """The id that the caller gave."""
        return self._session_id

    @property
    def user_id(self) -> str:
        """Whose session it is."""
        return self._user_id

    @property
    def handle(self) -> str | None:
        """The random name by which stores know the session, as it was when this process last read or wrote it.

        None where it was not there. A session that is cleared and begun anew has another.
        """
        found = self._shared.newest.handle if self._shared is not None else None
        return found.hex() if found is not None else None

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

    async def add_many(
        self, messages: Iterable[Message], *, ttl: float | None = None, handle: str | None = None
    ) -> list[Message]:
        """Append messages in one atomic step: all of them or none.

        Args:
            messages: in order.
            ttl: how long they live, in seconds from now.
            handle: the session's, as `handle` gave it when it was read, for messages that rest on what was read: they
                are not written where it was cleared or has ended since, and perhaps begun anew.

        Returns:
            The messages as they are stored.

        Raises:
            InvalidInputError: one of them cannot be stored; nothing was written.
            ConflictError: the session has not got that handle any more; nothing was written.
            IntegrityError, UserErasedError, BackendUnavailableError: as `add`.
        """
        given = _messages(messages)
        under = _handle(handle) if handle is not None else None
        return await self._with(lambda shared: self._append(shared, given, ttl, under)) if given else []

    async def _append(
        self, shared: Conversation, messages: list[Message], ttl: float | None, under: bytes | None
    ) -> list[Message]:
        people = {self._user_id: shared.person} if shared.person is not None else {}
        prepared = await self._prepared(shared, messages, ttl, people)
        stored = await self._host.writer.append(shared, prepared, under=under, people=people)
        return stored if _are_as_said(stored) else await self._in_clear(stored)

    async def _prepared(
        self, shared: Conversation, messages: list[Message], ttl: float | None, people: dict[str, Person]
    ) -> list[Prepared]:
        """Treat and encode messages as the policy says; takes in whose pseudonyms stand in them."""
        self._host.check_right(self.actor, "write")
        treating = self._host.treats or await self._host.treating()
        try:
            tags = shared.tags_at_hand()
            if tags == () and self.purpose is None:
                plain = treating.prepare_plain(messages, owner=self._user_id, ttl=ttl)
                if plain is not None:
                    return plain
            label = Label(tags if tags is not None else await shared.known_tags(), self.purpose)
            return await treating.prepare(
                messages, owner=self._user_id, people=people, ttl=ttl, label=label, seen=self._seen
            )
        except UserErasedError:
            # The person's vault knows it first; this session is to know it too.
            shared.ask_anew()
            await shared.keys()
            raise

    def leaves_alone(self, message: Message) -> bool:
        """Tell whether a message can be stored and the policy leaves it as it is, where that is known at once.

        Args:
            message: that is going to be added; what is found in it is not sought again then.

        Returns:
            False where it takes longer to know: `preview` tells.

        Raises:
            InvalidInputError: it cannot be stored.
            DetectionError: an engine failed.
        """
        treating = self._host.treats
        if treating is None:
            return False
        self._host.check_right(self.actor, "write")
        self._seen = self._seen or treating.remember()
        return treating.leaves_alone(message, self._seen)

    async def preview(self, messages: Iterable[Message]) -> list[Message]:
        """Give messages as a model would read them if they were added now, which they are not.

        What the policy redacts is redacted, and what it pseudonymises is a pseudonym, the one that it will be when the
        message is added: what that stands for is kept with the person.

        Args:
            messages: in order.

        Raises:
            InvalidInputError, PIIBlockedError, DetectionError: one of them could not be added.
            UserErasedError: as `add`.
        """
        given = _messages(messages)
        return await self._with(lambda shared: self._preview(shared, given)) if given else []

    async def _preview(self, shared: Conversation, messages: list[Message]) -> list[Message]:
        treating = self._host.treats or await self._host.treating()
        self._seen = self._seen or treating.remember()
        treated = [each.message for each in await self._prepared(shared, messages, None, {})]
        return await self._for_models(treated) if treating.pseudonymises else treated

    async def _in_clear(self, messages: list[Message]) -> list[Message]:
        """Give messages as they were said, if the actor may see what stands under their pseudonyms."""
        treating = await self._host.treating()
        return await treating.out.in_clear(messages, owner=self._user_id, actor=self.actor)

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
        page = await self._host.reader.newest(shared, limit, before, actor=self.actor)
        return page.messages if page.ordinary or _are_as_said(page.messages) else await self._in_clear(page.messages)

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
        return await self._with(lambda shared: self._window(shared, most, max_tokens, view))

    async def _window(self, shared: Conversation, most: int, max_tokens: int | None, view: str) -> list[Message]:
        """Give what goes to the model, as it is to be seen."""
        self._host.check_right(self.actor, "read")
        page = await self._host.reader.newest(shared, most, actor=self.actor)
        if page.ordinary and max_tokens is None and view != PSEUDONYMISED and not (page.head and page.head.pins):
            return page.messages
        messages, pinned = await self._shown(shared, page, view)
        return window.fit(
            messages, max_messages=most, max_tokens=max_tokens, tokenizer=self._host.tokenizer, pinned=pinned
        )

    async def _shown(self, shared: Conversation, page: Page, view: str) -> tuple[list[Message], Sequence[Message]]:
        """Give the messages of a page, and the pinned ones, as they are to be seen."""
        messages, head = page.messages, page.head
        pinned: list[Message] = []
        if head is not None and head.pins:
            pinned = await self._host.reader.pinned(shared, messages, head, actor=self.actor)
        every = [*messages, *pinned] if pinned else messages
        if view != PSEUDONYMISED and _are_as_said(every):
            return messages, pinned
        shown = await (self._in_clear(every) if view != PSEUDONYMISED else self._for_models(every))
        return shown[: len(messages)], shown[len(messages) :]

    async def _for_models(self, messages: list[Message]) -> list[Message]:
        treating = await self._host.treating()
        self._guests.update(message.user_id for message in messages if message.user_id is not None)
        return await treating.out.for_models(messages, owner=self._user_id)

    async def reveal(self, text: str) -> str:
        """Give a model's text with the values that the pseudonyms in it stand for; what is not this user's stays.

        It is written down in the audit first who asked about whom, with no values.

        Args:
            text: what a model said that was shown `context(view="pseudonymised")`. Pseudonyms of guests are known to
                the handle that showed them.

        Raises:
            AccessDeniedError: the policy gives this session's actor no right `reveal`.
            InvalidInputError: it is no text.
            UserErasedError: its person was forgotten while this handle was open.
        """
        codec.check_text(text, "what is revealed")
        return await self._with(lambda shared: self._reveal(shared, text))

    async def _reveal(self, shared: Conversation, text: str) -> str:
        await self._host.reader.newest(shared, 1)  # finds out whether the person was forgotten, or is restricted
        treating = await self._host.treating()
        return await treating.out.reveal(text, owner=self._user_id, guests=sorted(self._guests), actor=self.actor)

    async def reveal_stream(self, chunks: AsyncIterable[str] | Iterable[str]) -> AsyncGenerator[str, None]:
        """Give the same of a text that comes in pieces, piece by piece.

        What may be the beginning of a pseudonym waits until it is whole: a reader is at most one of them behind.

        Raises:
            AccessDeniedError, InvalidInputError, UserErasedError: as `reveal`.
        """
        stream = await self._with(self._stream)
        async with aclosing(stream.over(chunks)) as pieces:
            async for piece in pieces:
                yield piece

    async def _stream(self, shared: Conversation) -> Stream:
        await self._host.reader.newest(shared, 1)  # as `reveal` does
        treating = await self._host.treating()
        return await treating.out.stream(owner=self._user_id, guests=sorted(self._guests), actor=self.actor)

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
        branch = Session(
            self._host, session_id, user_id=self._user_id, tags=copies.tags, purpose=self.purpose, actor=self.actor
        )
        await branch._with(lambda shared: self._host.writer.start(shared, copies))
        return branch

    async def _copies(self, shared: Conversation, at: int | None) -> Copies:
        self._host.check_right(self.actor, "read")
        self._host.check_right(self.actor, "write")
        copies = await self._host.writer.copy(shared, at)
        treating = await self._host.treating()
        people = copies.guests | {self._user_id: copies.owner}
        messages = await treating.prepare_again(copies.messages, owner=self._user_id, people=people)
        return copies._replace(messages=messages)

    async def rectify(self, seq: int, content: Any, *, purge_seconds: float = PURGE_SECONDS) -> Message:
        """Put another content in place of what a message says (GDPR Art. 16); that is overwritten.

        All else of the message stays: role, time, metadata, whose it is, and how long it lives. The policy treats the
        new content as in an append. It is written down in the audit, without either content. A message under a
        restriction can be rectified; one under a legal hold cannot.

        Args:
            seq: of the message.
            content: text, or JSON as a framework sends it.
            purge_seconds: how long to work on what is left on disk, and to wait for whoever keeps it in use.

        Returns:
            The message as it is stored now.

        Raises:
            InvalidInputError: there is no message of this seq, or the content cannot be stored; nothing was changed.
            ExpiredError: the message is past its time.
            LegalHoldError: a legal hold is on it.
            AccessDeniedError: the policy gives this session's actor no right to read or write it.
            UserErasedError: its person was forgotten while this handle was open.
            IntegrityError, BackendUnavailableError: as `add`.
        """
        seq = codec.check_count(seq, "seq")
        seconds = check_purge_seconds(purge_seconds)
        return await self._with(lambda shared: self._rectify(shared, seq, content, seconds))

    async def _rectify(self, shared: Conversation, seq: int, content: Any, seconds: float) -> Message:
        self._host.check_right(self.actor, "read")
        self._host.check_right(self.actor, "write")
        stored = await self._host.rectify(shared, seq, content, actor=self.actor, purge_seconds=seconds)
        return stored if _are_as_said([stored]) else (await self._in_clear([stored]))[0]

    async def clear(self, *, purge_seconds: float = PURGE_SECONDS) -> None:
        """Destroy the session: its key, its messages, and what they left on disk. The handle can begin anew.

        What a law demands to keep, by a rule of the policy with a `keep_basis`, is sealed anew and read by nobody.

        Args:
            purge_seconds: how long to work on what is left on disk, and to wait for whoever keeps it in use.

        Raises:
            InvalidInputError: no such number; nothing was destroyed.
            LegalHoldError: a legal hold is on it, or on what a guest said in it; nothing was destroyed.
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


def _handle(handle: str) -> bytes:
    try:
        return bytes.fromhex(handle)
    except (TypeError, ValueError):
        raise InvalidInputError("handle has to be one that a session gave") from None


def _messages(messages: Iterable[Message]) -> list[Message]:
    if not isinstance(messages, list | tuple | Iterable):
        raise InvalidInputError("add_many takes a list of Message objects")
    found = []
    for message in messages:
        if not isinstance(message, Message):
            raise InvalidInputError("add_many takes Message objects")
        # Whether pseudonyms stand in a message is the store's to say, who put them there.
        found.append(replace(message, pseudonymised=False) if message.pseudonymised else message)
    return found
