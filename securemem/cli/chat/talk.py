"""A conversation at the terminal: what is typed is a message, or begins with a slash and is an order."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import typer

from securemem.agent import Agent
from securemem.cli.chat.screen import Screen, typed
from securemem.cli.output import Output
from securemem.errors import ConfigurationError, SecureMemError
from securemem.terminal import interruptible

_SHOWN = 6
"""How many messages a conversation that is gone on with begins by showing."""
HELP = (
    ("/history [N]", "show the newest messages, 20 if no number is given"),
    ("/remember TEXT", "tell the model in every turn of this conversation from now on"),
    ("/branch NAME", "go on in a copy of this conversation"),
    ("/session NAME", "go on in another conversation"),
    ("/forget", "destroy this conversation, and its key"),
    ("/help", "show this"),
    ("/quit", "leave, as Ctrl-D does; Ctrl-C stops an answer, which is then not remembered"),
)


class Talk:
    """One person at a terminal, or lines from elsewhere."""

    def __init__(self, agent: Agent, out: Output, *, session_id: str, user_id: str | None) -> None:
        """Begin in a conversation of a user."""
        self._agent = agent
        self._out = out
        self._screen = Screen(out)
        self._session_id = session_id
        self._user_id = user_id
        self._is_alive = sys.stdin.isatty() and not out.as_json
        self._orders: dict[str, Callable[[str], Awaitable[None]]] = {
            "/history": self._history,
            "/remember": self._remember,
            "/branch": self._branch,
            "/session": self._switch,
            "/forget": self._forget,
            "/help": self._help,
        }

    async def run(self, model: str) -> None:
        """Talk until the other end leaves."""
        if self._is_alive:
            await self._greet(model)
        for line in self._lines():
            text = line.strip()
            if text == "/quit":
                break
            if text:
                await self._take(text)
        if self._is_alive:
            self._screen.note("What was said is remembered.")

    def _lines(self) -> Iterator[str]:
        """Give what is typed. Nothing else is done meanwhile, so that waiting for it on the loop holds up nobody."""
        if not self._is_alive:
            yield from sys.stdin
            return
        while (line := typed(self._screen.prompt)) is not None:
            yield line

    async def _take(self, text: str) -> None:
        """Do what a line asks for; at a terminal an error is shown, and the talk goes on."""
        order, _, rest = text.partition(" ")
        try:
            if not text.startswith("/"):
                await self._say(text)
            elif order in self._orders:
                await self._orders[order](rest.strip())
            else:
                self._screen.note("There is no such order; /help lists them.")
        except ConfigurationError:
            raise
        except SecureMemError as exc:
            if not self._is_alive:
                raise
            self._screen.error(str(exc))

    # Messages

    async def _say(self, text: str) -> None:
        if not self._is_alive:
            reply = await self._agent.chat(text, self._session_id, user_id=self._user_id)
            if self._out.as_json:
                self._out.answer({"role": "assistant", "content": reply})
            else:
                self._screen.say(reply)
            return
        task = asyncio.ensure_future(self._answer(text))
        with _interrupting(task), suppress(asyncio.CancelledError):
            await task
        if task.cancelled():
            self._screen.note("Stopped, and not remembered.")

    async def _answer(self, text: str) -> None:
        with self._screen.answering() as show:
            async for piece in self._agent.stream(text, self._session_id, user_id=self._user_id):
                show(piece)

    async def _messages(self, limit: int) -> list[dict[str, Any]]:
        return await self._agent.get_history(self._session_id, user_id=self._user_id, limit=limit)

    # Orders

    async def _history(self, rest: str) -> None:
        if rest and not (rest.isascii() and rest.isdigit()):
            self._screen.note("/history takes a number.")
            return
        messages = await self._messages(int(rest) if rest else 20)
        if self._out.as_json:
            for message in messages:
                self._out.answer(message)
        elif messages:
            self._screen.messages(messages)
        else:
            self._screen.note("Nothing was said here yet.")

    async def _remember(self, rest: str) -> None:
        if not rest:
            self._screen.note("/remember takes a text.")
            return
        await self._agent.add_to_memory(self._session_id, "system", rest, user_id=self._user_id)
        self._screen.note("The model is told so in every turn here.")

    async def _branch(self, rest: str) -> None:
        if not rest:
            self._screen.note("/branch takes a name.")
            return
        branch = await self._agent.fork(self._session_id, rest, user_id=self._user_id)
        self._session_id, self._user_id = branch.session_id, branch.user_id
        self._screen.note(f"Going on in a copy of the conversation: {self._whose()}.")

    async def _switch(self, rest: str) -> None:
        if not rest:
            self._screen.note("/session takes a name.")
            return
        self._session_id = rest
        await self._resume()

    async def _forget(self, _: str) -> None:
        if self._is_alive:
            try:
                with interruptible():
                    typer.confirm("Destroy this conversation and its key? It cannot be undone.", abort=True)
            except typer.Abort:
                self._screen.note("Nothing was destroyed.")
                return
        await self._agent.clear_memory(self._session_id, user_id=self._user_id)
        self._screen.note("Forgotten: its key is destroyed, and its messages are deleted.")

    async def _help(self, _: str) -> None:
        self._screen.table(HELP)

    # Beginning

    async def _greet(self, model: str) -> None:
        name = Path(model).name if ".py:" in model else model
        self._screen.heading(f"{name} answers. /help lists what else can be done, Ctrl-D leaves.")
        await self._resume()

    async def _resume(self) -> None:
        messages = await self._messages(_SHOWN)
        if not messages:
            self._screen.note(f"A new conversation: {self._whose()}.")
            return
        last = datetime.fromisoformat(messages[-1]["timestamp"])
        self._screen.note(f"Going on with {self._whose()}; last said {last.astimezone():%Y-%m-%d %H:%M}.")
        self._screen.messages(messages)

    def _whose(self) -> str:
        whose = f" of {self._user_id}" if self._user_id is not None else ""
        return self._screen.printable(f"{self._session_id}{whose}")


@contextmanager
def _interrupting(task: asyncio.Task[None]) -> Iterator[None]:
    """Let Ctrl-C stop a task and nothing else."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
