"""Names and places under the shipped policy `strict`, with the model that users install."""

from __future__ import annotations

import asyncio

import pytest

from securemem import DetectionError, SecureMemory
from securemem.privacy.engines.ner import NerEngine

CALL = {"type": "tool_use", "id": "call_1", "name": "lookup", "input": {"full_name": "Sarah Connor", "limit": 5}}


@pytest.mark.usefixtures("rampart")
async def test_a_name_is_one_person_by_any_wording() -> None:
    """Her first name and her name in capitals follow her whole name; each text comes back as it was said."""
    said = ["Hi, I'm Sarah Connor from Leeds", "Sarah here again", "SARAH CONNOR asks for john smith"]
    async with SecureMemory.open("memory://", policy="strict") as memory:
        chat = memory.session("s", user_id="alice")
        for text in said:
            await chat.add("user", text)
        shown = [message.content for message in await chat.context(view="pseudonymised")]
        assert shown == [
            "Hi, I'm [PERSON_1] from [LOCATION_1]",
            "[PERSON_1.2] here again",
            "[PERSON_1.3] asks for [PERSON_2]",
        ]
        assert [await chat.reveal(text) for text in shown] == said


@pytest.mark.usefixtures("rampart")
async def test_a_tool_call_stays_a_tool_call() -> None:
    """The values of name-like keys are found without a sentence around them; the tool's own name stays."""
    async with SecureMemory.open("memory://", policy="strict") as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add("assistant", [CALL])
        [shown] = await chat.context(view="pseudonymised")
        assert shown.content == [CALL | {"input": {"full_name": "[PERSON_1]", "limit": 5}}]


@pytest.mark.usefixtures("rampart")
async def test_many_messages_at_once_and_a_failure_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine runs in threads; where it fails, that message alone is not saved."""
    find = NerEngine.find

    def fails_at_times(self: NerEngine, text: str, language: str, entities: frozenset[str]) -> object:
        if "fail" in text:
            raise MemoryError
        return find(self, text, language, entities)

    monkeypatch.setattr(NerEngine, "find", fails_at_times)
    async with SecureMemory.open("memory://", policy="strict") as memory:
        chat = memory.session("s", user_id="alice")
        texts = [f"I am Sarah Connor {number}" + " and I fail" * (number == 3) for number in range(6)]
        done = await asyncio.gather(*(chat.add("user", text) for text in texts), return_exceptions=True)
        assert [type(each) for each in done].count(DetectionError) == 1
        shown = [message.content for message in await chat.context(view="pseudonymised")]
    assert sorted(shown) == [f"I am [PERSON_1] {number}" for number in (0, 1, 2, 4, 5)]
