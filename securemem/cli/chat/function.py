"""A model that is a function in somebody's file: found by its name, its errors made ours."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from securemem.cli.outcome import place_in
from securemem.errors import ConfigurationError, ModelError, SecureMemError

if TYPE_CHECKING:
    from securemem.agent.models import ModelCallable

ENDING = ".py:"


def load(name: str) -> ModelCallable:
    """Give the function of a file, `FILE.py:FUNCTION`; what it raises is a ModelError.

    Raises:
        ConfigurationError: there is no such file, it cannot be run, or there is no such function in it.
    """
    path, _, function = name.rpartition(":")
    spec = spec_from_file_location("securemem_chat_model", path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ConfigurationError(f"there is no file {path} for --model")
    module: Any = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise ConfigurationError(f"{path} cannot be imported: {type(exc).__name__} in {place_in(exc)}") from exc
    found: ModelCallable | None = getattr(module, function, None)
    if not callable(found):
        raise ConfigurationError(f"{path} has no function {function}")
    return _guarded(found)


def _guarded(function: ModelCallable) -> ModelCallable:
    def asked(messages: list[dict[str, Any]]) -> Any:
        try:
            answer = function(messages)
        except Exception as exc:
            raise _ours(exc) from exc
        if isinstance(answer, AsyncIterator):
            return _pieces(answer)
        return _answer(answer) if isinstance(answer, Awaitable) else answer

    return asked


async def _answer(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except Exception as exc:
        raise _ours(exc) from exc


async def _pieces(answer: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
    try:
        if isinstance(answer, AsyncGenerator):
            async with aclosing(answer):
                async for piece in answer:
                    yield piece
        else:
            async for piece in answer:
                yield piece
    except Exception as exc:
        raise _ours(exc) from exc


def _ours(error: Exception) -> SecureMemError:
    """Give an error of a model's as one of ours; its text may hold what was said, so its kind and place are told."""
    if isinstance(error, SecureMemError):
        return error
    return ModelError(f"the model raised {type(error).__name__} in {place_in(error)}")
