"""What all sessions of a store share in this process: opened by the first use, used by one event loop, closed once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from securemem import compose, config
from securemem.belonging import Belonging
from securemem.compose import Deployment
from securemem.conversation import Around, Conversation
from securemem.conversations import Conversations
from securemem.errors import AccessDeniedError, BackendUnavailableError, ConfigurationError
from securemem.model import Message
from securemem.policy import Policy
from securemem.policy.words import Right
from securemem.ports import Clock, Tokenizer
from securemem.preparing import Limits, Preparing
from securemem.reader import Reader
from securemem.underway import UnderWay
from securemem.writer import Writer

if TYPE_CHECKING:
    from securemem.treating import Treating

T = TypeVar("T")


class SessionHost:
    """The store as its sessions see it (`session.Host`).

    Attributes:
        settings: where it lies.
        client: the caller's own, if there is one.
        clock: gives the time by which every deadline is reckoned.
        limits: of its sessions.
        context_window: how many messages `context` gives by default.
        tokenizer: counts tokens.
        deployment: its live objects; None while it is not open.
        under_way: the calls that it is not closed beneath.
        preparing: of what is written to its sessions, once it is open,
        reader: likewise, and
        writer: likewise.
        treats: what treats personal data; None before the first message that it could be in.
    """

    def __init__(
        self,
        settings: config.Settings,
        *,
        tenant: str,
        policy: Policy,
        clock: Clock,
        limits: Limits,
        context_window: int,
        tokenizer: Tokenizer,
        client: Any,
        create: bool,
    ) -> None:
        """Know where it lies; nothing is opened yet."""
        self._assemble = partial(
            compose.assemble, settings, tenant=tenant, policy=policy, clock=clock, client=client, create=create
        )
        self._policy = policy
        self.settings = settings
        self.client = client
        self.clock = clock
        self.limits = limits
        self.preparing: Preparing
        self.reader: Reader
        self.writer: Writer
        self.context_window = context_window
        self.tokenizer = tokenizer
        self.deployment: Deployment | None = None
        self.under_way = UnderWay()
        self.treats: Treating | None = None
        self._opening = asyncio.Lock()
        self._closed = False
        self._belonging = Belonging()
        self._conversations: Conversations | None = None

    # Opening and closing

    async def ready(self) -> Deployment:
        """Give its live objects, and open it if it is not open yet.

        Raises:
            ConfigurationError: it was closed, or is another event loop's or process's; or as `compose.assemble`.
            NotReadyError, WrongKeyError, BackendUnavailableError: as `compose.assemble`.
        """
        self._belonging.check()
        if self.deployment is None:
            async with self._opening:
                if self._closed:
                    raise ConfigurationError("this store was closed: open it anew")
                if self.deployment is None:
                    self.deployment = await self._assemble()
                    lives = self.deployment.lives
                    self.reader = Reader(self.clock, lives, max_messages=self.limits.max_messages)
                    self.preparing = Preparing(self.clock, self.limits, lives)
                    self.writer = Writer(self.clock, self.preparing, self.reader, lives)
        return self.deployment

    async def conversations(self) -> Conversations:
        """Give what this process has at hand of sessions."""
        deployment = await self.ready()
        if self._conversations is None:
            self._conversations = Conversations(
                Around(
                    deployment.backend,
                    deployment.pages,
                    deployment.keyring,
                    self.clock,
                    deployment.retire,
                    deployment.expire,
                    deployment.begun,
                )
            )
        return self._conversations

    async def close(self) -> None:
        """Record how far sessions have come, wipe the keys in memory, close the stores. A second call does nothing.

        Once it has begun to close them, it does so whether the caller waits for it or not; another call waits for that.
        """
        if self.deployment is not None:
            self._belonging.check()
        self._closed = True
        await self.under_way.idle()
        await self.under_way.through(self._close_once())

    async def _close_once(self) -> None:
        async with self._opening:
            deployment, self.deployment = self.deployment, None
            if deployment is not None:
                await self._close(deployment)

    async def _close(self, deployment: Deployment) -> None:
        try:
            # A floor that cannot be raised, for the disk is full, says less than it could; nothing is lost.
            with contextlib.suppress(BackendUnavailableError):
                if self._conversations is not None:
                    await self._conversations.raise_floors()
        finally:
            self._conversations = self.treats = None
            await deployment.aclose()

    # Calls under way

    def begin(self) -> None:
        """Count a call that is under way; one within another goes on while a store that is closed waits for that.

        Raises:
            ConfigurationError: the store was closed, or is another event loop's or process's.
        """
        self._check_open()
        self.under_way.begin()

    def _check_open(self) -> None:
        if self._closed and not self.under_way.is_within_call:
            raise ConfigurationError("this store was closed: open it anew")
        self._belonging.check()

    def end(self) -> None:
        """Count it out."""
        self.under_way.end()

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[Deployment]:
        """Give its live objects, opened if they are not yet, for a call beneath which they are not closed.

        Raises:
            ConfigurationError, NotReadyError, WrongKeyError, BackendUnavailableError: as `begin` and `ready`.
        """
        self._check_open()
        with self.under_way.call():
            yield await self.ready()

    async def steps(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Go through what takes long; each step is a call. Between two the store may be closed: the next one says so.

        Raises:
            ConfigurationError: as `begin`.
        """
        async with contextlib.aclosing(items):
            while True:
                self.begin()
                try:
                    item = await anext(items, None)
                finally:
                    self.end()
                if item is None:
                    return
                yield item

    # What sessions need (`session.Host`)

    def check_right(self, actor: str | None, right: Right) -> None:
        """Refuse what the policy gives an actor no right to; who names no actor is the application itself.

        Raises:
            AccessDeniedError: the policy gives the actor no such right.
        """
        if actor is None or self._policy.allows(actor, right):
            return
        # Who may reveal what stands under pseudonyms may read the texts in which they stand.
        if right != "read" or not self._policy.allows(actor, "reveal"):
            raise AccessDeniedError(f"the policy gives this actor no right to {right}")

    async def conversation(self, user_id: str, session_id: str, tags: tuple[str, ...]) -> Conversation:
        """Give the state that all handles of a session share, and open the store if it is not open yet."""
        return await (self._conversations or await self.conversations()).get(user_id, session_id, tags)

    async def treating(self) -> Treating:
        """Give what treats personal data as the policy says, and open the store if it is not open yet."""
        return self.treats or self._make_treating(await self.ready())

    def _make_treating(self, deployment: Deployment) -> Treating:
        if self.treats is not None:  # one a store, however many ask at first: its vaults have the locks
            return self.treats
        from securemem.revealing import Revealing  # noqa: PLC0415  (importing a store does without)
        from securemem.treating import Treating  # noqa: PLC0415
        from securemem.vaults import Vaults  # noqa: PLC0415

        vaults = Vaults(self.conversation, self.reader, self.clock, deployment.lives)
        self.treats = Treating(
            deployment.policy,
            deployment.privacy,
            vaults=vaults,
            preparing=self.preparing,
            lives=deployment.lives,
            clock=self.clock,
            out=Revealing(
                deployment.policy,
                vaults,
                clock=self.clock,
                keyed_hash=deployment.keyring.keyed_hash,
                log=deployment.log_reveal,
            ),
        )
        return self.treats

    async def rectify(
        self, conversation: Conversation, seq: int, content: Any, *, actor: str | None, purge_seconds: float
    ) -> Message:
        """Rectify a message; once that is decided, it is carried through, whether the caller waits for it or not."""
        from securemem.rights.rectify import Desk, Request  # noqa: PLC0415  (importing a store does without)

        deployment = self.deployment or await self.ready()
        desk = Desk(self.reader, self.preparing, await self.treating())
        request = Request(conversation, seq, content, actor)
        return await self.under_way.through(
            deployment.office.rectifying.rectify(request, desk, purge_seconds=purge_seconds)
        )

    async def destroy(self, conversation: Conversation, *, purge_seconds: float) -> None:
        """Clear a session; once that is decided, it is carried through, whether the caller waits for it or not."""
        from securemem.clearing import clear  # noqa: PLC0415  (a chat does without)

        deployment = self.deployment or await self.ready()
        await self.under_way.through(clear(deployment, conversation, purge_seconds=purge_seconds))
