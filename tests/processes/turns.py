"""A process in which an agent has turns in many sessions at once, to be killed: `turns.py URL SESSIONS TURNS SEED`.

It says `ready`, waits for a line, goes on in each session where its history ends, and after every turn that was
acknowledged writes a line of JSON `[session, turn]`; `"done"` at the end.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any

from securemem import Agent

TOOL_EVERY = 3


def say(line: object) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def look_up(turn: str) -> str:
    """Give what a turn looks up."""
    return f"{turn} looked up"


async def answer(messages: list[dict[str, Any]]) -> Any:
    """Answer after a moment; in every third turn, a tool is called first."""
    await asyncio.sleep(draw.uniform(0, 0.01))
    last = messages[-1]
    if last["role"] == "user" and int(last["content"]) % TOOL_EVERY == 0:
        call = {"name": "look_up", "arguments": json.dumps({"turn": last["content"]})}
        return {"content": None, "tool_calls": [{"id": f"call_{last['content']}", "function": call}]}
    return f"answer {[each['content'] for each in messages if each['role'] == 'user'][-1]}"


async def have_turns(url: str, sessions: int, turns: int) -> None:
    """Go on everywhere, at once."""
    config = {"max_messages": 4 * turns + 10, "policy": "plain"}
    async with Agent(model=answer, memory=url, memory_config=config, tools=[look_up]) as agent:

        async def one(session: str) -> None:
            history = await agent.get_history(session, limit=1_000_000)
            for turn in range(sum(each["role"] == "user" for each in history), turns):
                await agent.chat(str(turn), session)
                say([session, turn])

        await asyncio.gather(*(one(f"session-{number}") for number in range(sessions)))


draw = random.Random(int(sys.argv[4]))
say("ready")
sys.stdin.readline()
asyncio.run(have_turns(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
say("done")
