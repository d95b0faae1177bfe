"""The agent: an instruction and a model, with a memory of each conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from securemem import codec
from securemem.agent.memories import Memory
from securemem.errors import ConfigurationError, InvalidInputError
from securemem.memory import SecureMemory
from securemem.policy import Policy
from securemem.session import Session
from securemem.window import PINNABLE_ROLES

if TYPE_CHECKING:
    from securemem.agent.models import Model, ModelCallable
    from securemem.agent.turn import Turn
    from securemem.model import Message
    from securemem.rights.receipt import Receipt

MODEL_SECONDS = 120.0
MODEL_RETRIES = 2


class Agent:
    """Answers in conversations that it remembers."""

    def __init__(
        self,
        name: str = "agent",
        instruction: str = "",
        model: str | ModelCallable | None = None,
        *,
        memory: str | Mapping[str, Any] | Memory | SecureMemory | None = "memory",
        memory_config: Mapping[str, Any] | None = None,
        tools: Iterable[Callable[..., Any]] = (),
        policy: str | Policy | None = None,
        kms: str | None = None,
        max_tokens: int | None = None,
        keep_failed: bool = False,
        actor: str | None = None,
        timeout: float = MODEL_SECONDS,
        retries: int = MODEL_RETRIES,
        base_url: str | None = None,
        api_key: str | None = None,
        model_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Put an agent together; nothing is read, written or asked yet.

        Args:
            name: what it is called.
            instruction: what the model is told first, in every turn.
            model: the name of one behind an OpenAI-compatible endpoint, or `async (list[dict]) -> str`; an agent
                without one remembers and does not answer.
            memory: "memory", "redis", "sqlite" or "postgres", a URL, a dict with `type`, a memory object that other
                agents have too, or an open store.
            memory_config: options of the memory; `context_window` and `max_tokens` are the agent's own, and may be
                given with a memory object too.
            tools: functions that the model may call.
            policy: what is done with personal data, and how long anything is kept; and
            kms: what the keys are wrapped under: as in `memory_config`.
            max_tokens: at most so many tokens reach the model, of which the instruction, pinned messages and the new
                message take theirs first.
            keep_failed: remember what the user said also where the model fails, or says what cannot be stored.
            actor: who asks, for a policy with roles.
            timeout: how many seconds a reply, or the next piece of one, may take.
            retries: how many times more an endpoint is asked that does not answer, fails, or is asked too often.
            base_url: of the endpoint; that of `OPENAI_BASE_URL`, or OpenAI's, if not given.
            api_key: that of `OPENAI_API_KEY` if not given.
            model_options: of each request, such as `temperature`.

        Raises:
            ConfigurationError: there is no such kind of memory, or an option that does not fit.
        """
        from securemem.agent.kinds import find_memory  # noqa: PLC0415  (importing a store does without)
        from securemem.agent.tools import Tools  # noqa: PLC0415
        from securemem.agent.turn import Terms, Turn  # noqa: PLC0415

        if not all(isinstance(text, str) for text in (name, instruction)):
            raise ConfigurationError("name and instruction of an agent are texts")
        self.name = name
        self.instruction = instruction
        config = _by_name("memory_config", memory_config) | {
            option: value for option, value in (("policy", policy), ("kms", kms)) if value is not None
        }
        max_tokens = config.pop("max_tokens", None) if max_tokens is None else max_tokens
        shares = isinstance(memory, Memory | SecureMemory)
        most = config.pop("context_window", None) if shares else None
        self._model = _model(
            model,
            timeout=timeout,
            retries=retries,
            base_url=base_url,
            api_key=api_key,
            options=_by_name("model_options", model_options),
        )
        self._terms = Terms(
            instruction=instruction,
            model=self._model,
            tools=Tools(tools),
            context_window=codec.check_count(most, "context_window", least=1) if most is not None else None,
            max_tokens=codec.check_count(max_tokens, "max_tokens") if max_tokens is not None else None,
            keep_failed=keep_failed,
        )
        self._begin = partial(Turn, self._terms)
        self._actor = actor
        self.memory, self._is_ours = find_memory(memory, config)

    # Conversations

    async def chat(self, message: Any, session_id: str, *, user_id: str | None = None) -> str:
        """Answer a message, and remember both.

        Turns of one session follow each other, in the order in which they were asked for, whichever of the agents with
        this memory they are with.

        Args:
            message: text, or a list of parts as the model takes them.
            session_id: of the conversation.
            user_id: whose it is; if not given, it is its own subject, and so of nobody else's.

        Raises:
            ModelError: the model did not answer. The conversation is as it was, and so it is whatever else is raised;
                under `keep_failed` with the user's message.
            ConflictError: the conversation was cleared meanwhile; nothing was remembered.
            UserErasedError: its person was forgotten meanwhile.
            PIIBlockedError: the policy refuses the message, which the model has not seen.
            InvalidInputError: the message is none, or cannot be stored; the model has not seen it either.
        """
        _check_message(message)
        session = self._session(session_id, user_id)
        async with self.memory.turn(session):
            return await (await self._turn(session)).chat(message)

    async def stream(self, message: Any, session_id: str, *, user_id: str | None = None) -> AsyncGenerator[str, None]:
        """Answer a message piece by piece; both are remembered once the last piece was taken.

        A reply that is not read to its end leaves the conversation as it was. Until then nobody else has a turn in it.

        Args:
            message: as in `chat`.
            session_id: likewise.
            user_id: likewise.

        Raises:
            ModelError, ConflictError, UserErasedError, PIIBlockedError, InvalidInputError: as `chat`.
        """
        _check_message(message)
        session = self._session(session_id, user_id)
        async with self.memory.turn(session), aclosing((await self._turn(session)).stream(message)) as pieces:
            async for piece in pieces:
                yield piece

    async def get_history(
        self, session_id: str, *, user_id: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Give the newest messages of a conversation, oldest first, as JSON has them.

        Returns:
            Dicts with `role`, `content` and `timestamp` (ISO 8601, UTC), and `metadata` where there is some: tool
            calls and their results, and whether a message is pinned.
        """
        return [_as_json(message) for message in await self._session(session_id, user_id).history(limit)]

    async def add_to_memory(
        self,
        session_id: str,
        role: str,
        content: Any,
        *,
        user_id: str | None = None,
        metadata: dict[str, Any] | None = None,
        pinned: bool | None = None,
    ) -> None:
        """Remember something that was not said in a turn.

        Args:
            session_id: of the conversation.
            role: "system", "user", "assistant" …
            content: text or JSON.
            user_id: whose the conversation is.
            metadata: a JSON object.
            pinned: whether the model is always shown it, however old it is; for a system or developer message, which
                alone can be, yes if not given.
        """
        pins = role in PINNABLE_ROLES if pinned is None else pinned
        if pins and role not in PINNABLE_ROLES:
            raise InvalidInputError(f"what can be pinned has the role {' or '.join(sorted(PINNABLE_ROLES))}")
        marks = {"pinned": True} if pins else {}
        await self._session(session_id, user_id).add(role, content, metadata={**(metadata or {}), **marks} or None)

    async def clear_memory(self, session_id: str, *, user_id: str | None = None) -> None:
        """Forget a conversation: its key and its messages.

        A turn that is under way is not remembered either, but for the first, before which there is nothing to forget.
        """
        await self._session(session_id, user_id).clear()

    async def fork(
        self, session_id: str, new_session_id: str, *, user_id: str | None = None, at: int | None = None
    ) -> Session:
        """Copy a conversation into a new one of the same person, sealed under a key of its own.

        Clearing one leaves the other whole; erasing the person erases both.

        Args:
            session_id: of the conversation.
            new_session_id: of the copy, which must not exist.
            user_id: whose it is.
            at: the last message to copy, by its seq; all if not given.

        Returns:
            The copy, whose `user_id` is that of the conversation; of one that is its own subject, the conversation's
            id. To go on in it, name that as `user_id`.

        Raises:
            ConflictError: there is a session of this id.
            InvalidInputError: there is nothing to copy.
        """
        return await self._session(session_id, user_id).fork(new_session_id, at=at)

    async def erase_user(self, user_id: str) -> Receipt:
        """Forget a person with all their conversations in this memory, and give a signed receipt."""
        return await self.memory.store.erase_user(user_id)

    # Its end

    async def close(self) -> None:
        """Close what was made for this agent alone: the model's connections, and a memory that is no object."""
        await self._model.close()
        if self._is_ours:
            await self.memory.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"Agent(name={self.name!r})"

    # Inside

    def _session(self, session_id: str, user_id: str | None) -> Session:
        return self.memory.store.session(session_id, user_id=user_id, actor=self._actor)

    async def _turn(self, session: Session) -> Turn:
        store = self.memory.store
        return self._begin(store, session, store.host.treats or await store.host.treating())


def _model(
    model: object,
    *,
    timeout: object,
    retries: int,
    base_url: str | None,
    api_key: str | None,
    options: Mapping[str, Any],
) -> Model:
    """Give the model that an agent is given.

    Raises:
        ConfigurationError: it is none.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ConfigurationError("timeout is a number of seconds above 0")
    codec.check_count(retries, "retries")
    if not all(text is None or isinstance(text, str) for text in (base_url, api_key)):
        raise ConfigurationError("base_url and api_key of a model are texts")
    from securemem.agent.models import CallableModel, NoModel  # noqa: PLC0415  (importing a store does without)

    if model is None:
        return NoModel()
    if callable(model):
        return CallableModel(model, timeout)
    if not isinstance(model, str) or not model:
        raise ConfigurationError("model is the name of one, or an async function")
    from securemem.agent.endpoint import Endpoint  # noqa: PLC0415

    return Endpoint(model, base_url=base_url, api_key=api_key, seconds=timeout, retries=retries, options=options)


def _by_name(what: str, options: object) -> dict[str, Any]:
    """Give options by their names; none if not given.

    Raises:
        ConfigurationError: they are something else.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise ConfigurationError(f"{what} has options by their names")
    return dict(options)


def _check_message(message: object) -> None:
    """Refuse what nobody can say.

    Raises:
        InvalidInputError: it is neither text nor a list.
    """
    if not isinstance(message, str | list | tuple):
        raise InvalidInputError("a message is a text, or a list of parts as the model takes them")


def _as_json(message: Message) -> dict[str, Any]:
    said: dict[str, Any] = {
        "role": message.role,
        "content": message.content,
        "timestamp": message.timestamp.isoformat() if message.timestamp is not None else None,
    }
    return said | ({"metadata": message.metadata} if message.metadata else {})
