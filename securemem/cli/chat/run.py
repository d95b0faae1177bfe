"""The command `securemem chat`: its options, the model that they name, and the store that it opens."""

from __future__ import annotations

from typing import Annotated

import typer

from securemem.cli.chat import function
from securemem.cli.command import command
from securemem.cli.output import Output
from securemem.cli.place import Actor, Place, PolicyName
from securemem.errors import ConfigurationError

_INSTRUCTION = "You are a helpful assistant. Answer in plain text."

_Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar="SECUREMEM_MODEL",
        help="Of an OpenAI-compatible endpoint (OPENAI_BASE_URL), or FILE.py:FUNCTION, an async function of your own.",
    ),
]
_Session = Annotated[str, typer.Option(metavar="SESSION", help="The conversation to begin or to go on with.")]
_User = Annotated[str | None, typer.Option(metavar="USER", help="Whose it is; if not given, it is its own subject.")]
_Told = Annotated[str, typer.Option(metavar="TEXT", help="What the model is told first, in every turn.")]
_Tokens = Annotated[int | None, typer.Option(min=1, metavar="N", help="At most so many tokens reach the model.")]


async def _chat(
    *,
    place: Place,
    out: Output,
    model: _Model = None,
    session: _Session = "chat",
    user: _User = None,
    instruction: _Told = _INSTRUCTION,
    max_tokens: _Tokens = None,
    policy: PolicyName = None,
    actor: Actor = None,
) -> None:
    """Talk with an agent, in a conversation that the store remembers.

    /help says what else can be done there. Where standard input is no terminal, each of its lines is a message.
    """
    if model is None:
        raise ConfigurationError("name a model with --model: one of an endpoint, or FILE.py:FUNCTION of your own")
    asked = function.load(model) if function.ENDING in model else model
    from securemem.agent import Agent  # noqa: PLC0415
    from securemem.cli.chat.talk import Talk  # noqa: PLC0415

    async with (
        place.open(policy=policy) as store,
        Agent("chat", instruction, asked, memory=store, max_tokens=max_tokens, actor=actor) as agent,
    ):
        await Talk(agent, out, session_id=session, user_id=user).run(model)


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "chat")(_chat)
