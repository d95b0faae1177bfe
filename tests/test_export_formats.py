"""An export as others read it: by its published schema, by OpenAI's and LangChain's message formats, and as a page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from securemem import Message, SecureMemory
from securemem.policy import Pii, Policy
from securemem.policy.durations import Duration
from securemem.policy.rules import Condition, Rule, Rules
from securemem.policy.schema import Access, Recipient
from securemem.rights.formats import FORMATS, as_langchain, as_openai
from securemem.rights.page import Page
from tests.test_export import exported

RUN = [sys.executable, "-c", "from securemem.cli import main; main()"]
SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "export.schema.json").read_text())
LONG = Rule("contracts", (frozenset({Condition("tag", "contract")}),), keep_for=Duration.of("6y"), basis="gdpr-17-3-b")
CARE = Rule("care", (frozenset({Condition("tag", "care")}),), ttl=Duration.of("90d"), purpose="care")
POLICY = Policy(
    "all",
    "",
    Pii(entities={"EMAIL_ADDRESS": "pseudonymise"}),
    access=Access(purposes={"care": ("nurse",), "billing": ("clerk",)}),
    rules=Rules((LONG, CARE), ttl=Duration.of("30d")),
    notify=(Recipient(id="billing", url_env="BILLING_URL"),),
)
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}


def checked(item: dict[str, Any]) -> dict[str, Any]:
    """Give an object that the schema allows."""
    jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.FormatChecker()).validate(item)
    return item


def message(role: str, content: Any, **options: Any) -> dict[str, Any]:
    """Give a message of an export."""
    return {"kind": "message", "session_id": "s", "role": role, "content": content, "metadata": None} | options


async def filled(url: str) -> SecureMemory:
    """Give a store with something of every kind about Alice."""
    memory = SecureMemory.open(url, policy=POLICY, max_messages=1000)
    chat = memory.session("<b>one</b>", user_id="alice", tags=("shop",))
    await chat.add("user", "I am a@example.com <script>alert(1)</script>", metadata={"tags": ["care"]})
    await chat.add("assistant", [{"type": "text", "text": "hi"}], metadata={"tags": ["contract"]}, ttl=60)
    await memory.session("two", user_id="alice", purpose="billing").add("user", "x")
    await memory.session("hers", user_id="bob").add("user", "alice at bob's", user_id="alice")
    return memory


async def test_every_object_is_as_the_schema_says(file_url: str) -> None:
    """The schema allows what is exported, names each of its fields, and refuses any other or one that is missing."""
    async with await filled(file_url) as memory:
        await memory.restrict_user("alice")
        items = [checked(item) for item in await exported(memory, "alice")]
        items += [checked(item) for item in await exported(memory, "nobody")]
    kinds = {item["kind"]: item for item in items}
    assert set(kinds) == set(SCHEMA["$defs"]) - {"moment", "duration"}
    for kind, item in kinds.items():
        assert set(item) == set(SCHEMA["$defs"][kind]["properties"]) == set(SCHEMA["$defs"][kind]["required"])
        for field in item:
            with pytest.raises(jsonschema.ValidationError):
                checked({name: value for name, value in item.items() if name != field})
        with pytest.raises(jsonschema.ValidationError):
            checked(item | {"another": 1})


async def test_purpose_and_retention_of_each_message(file_url: str) -> None:
    """Each message says what it is for, until when it is kept and by which rule; the first object says it for all."""
    async with await filled(file_url) as memory:
        items = await exported(memory, "alice")
    about = items[0]
    assert about["purposes"] == ["billing", "care"]
    assert about["recipients"] == ["billing"]
    assert (about["retention"]["default"], [rule["id"] for rule in about["retention"]["rules"]]) == (
        "30d",
        ["contracts", "care"],
    )
    by_text = {str(item["content"])[:6]: item for item in items if item["kind"] == "message"}
    care, kept, billing = by_text["I am a"], by_text["[{'typ"], by_text["x"]
    assert (care["purpose"], care["retention"]["rule"], care["retention"]["why"]) == ("care", "care", "ttl 90d")
    assert (kept["retention"]["rule"], kept["retention"]["why"]) == ("contracts", "kept for 6y (gdpr-17-3-b)")
    assert (billing["purpose"], billing["retention"]["rule"]) == ("billing", "defaults")


OPENAI = [
    (message("user", "hi"), [{"role": "user", "content": "hi"}]),
    (message("human", "hi"), [{"role": "user", "content": "hi"}]),
    (message("developer", "be kind"), [{"role": "developer", "content": "be kind"}]),
    (
        message("user", [{"type": "input_text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}]),
        [
            {
                "role": "user",
                "content": [{"type": "text", "text": "hi"}, {"type": "image_url", "image_url": {"url": "x"}}],
            }
        ],
    ),
    (
        message("assistant", "", metadata={"tool_calls": [CALL]}),
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
    ),
    (
        message("assistant", {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
    ),
    (
        message("assistant", [{"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}}]),
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
    ),
    (
        message("assistant", [{"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at": 1}'}]),
        [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
    ),
    (
        message("tool", "42", metadata={"tool_call_id": "c1"}),
        [{"role": "tool", "tool_call_id": "c1", "content": "42"}],
    ),
    (
        message(
            "user", [{"type": "tool_result", "tool_use_id": "c1", "content": "42"}, {"type": "text", "text": "and?"}]
        ),
        [
            {"role": "user", "content": [{"type": "text", "text": "and?"}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
        ],
    ),
    (
        message("tool", [{"type": "function_call_output", "call_id": "c1", "output": "42"}]),
        [{"role": "tool", "tool_call_id": "c1", "content": "42"}],
    ),
    (message("critic", {"score": 1}), [{"role": "user", "name": "critic", "content": '{"score": 1}'}]),
]


@pytest.mark.parametrize(("item", "expected"), OPENAI)
def test_openai(item: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    """A message is what chat completions take: roles, parts, tool calls and results, in whatever shape they came."""
    assert as_openai(item) == expected


LANGCHAIN_FIELDS = {
    "human": {"type", "content"},
    "ai": {"type", "content", "tool_calls"},
    "system": {"type", "content"},
    "tool": {"type", "content", "tool_call_id"},
    "chat": {"type", "content", "role"},
}


@pytest.mark.parametrize("item", [item for item, _ in OPENAI])
def test_langchain(item: dict[str, Any]) -> None:
    """A message is what `messages_from_dict` takes: a known type, and the fields that its class wants."""
    for made in as_langchain(item):
        kind, data = made["type"], made["data"]
        assert data["type"] == kind
        assert set(data) <= LANGCHAIN_FIELDS[kind]
        assert isinstance(data["content"], str | list)
        assert kind != "tool" or data["tool_call_id"]
        assert kind != "chat" or data["role"]
        for call in data.get("tool_calls", []):
            assert call == {"type": "tool_call", "id": "c1", "name": "look", "args": {"at": 1}}


@pytest.mark.parametrize("form", ["openai", "langchain"])
async def test_a_session_is_a_line(file_url: str, form: str) -> None:
    """Each session, and what was said elsewhere, is one line of JSON, of all messages in order."""
    writer = FORMATS[form]()
    async with await filled(file_url) as memory:
        text = "".join([writer.take(item) for item in await exported(memory, "alice")]) + writer.end()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["session_id"], len(line["messages"])) for line in lines] == [("<b>one</b>", 2), ("two", 1), (None, 1)]
    assert FORMATS[form]().end() == ""


class _Elements(HTMLParser):
    """Takes down what a page is made of, and whether its elements are closed in order."""

    void = frozenset({"meta"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes.update(name for name, _ in attrs)
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_is_whole_and_asks_for_nothing(file_url: str) -> None:
    """It says all that the export says, escaped, names nothing outside itself, and runs nothing."""
    async with await filled(file_url) as memory:
        await memory.holds.place("alice", session_id="two", reason_code="CASE-1")
        page = Page(await memory.show_user("alice"))
        items = await exported(memory, "alice")
        text = "".join([page.take(item) for item in items]) + page.end()
    found = _Elements()
    found.feed(text)
    assert found.open == []
    assert not found.seen & {"script", "img", "link", "iframe", "form", "object", "a"}
    assert not {name for name in found.attributes if name.startswith("on") or name in ("src", "href")}
    assert not re.search(r"url\(|@import|https?:", text)
    assert "default-src 'none'" in text
    for said in ("I am a@example.com <script>alert(1)</script>", "<b>one</b>", "alice at bob's", "[EMAIL_ADDRESS_1]"):
        assert said in found.text
    for word in ("billing", "care", "contracts", "6 years", "90 days", "30 days", "legal matter", "Put it right"):
        assert word in found.text
    assert text.count("<li class=user>") + text.count("<li>") == 4 + 1


async def test_the_page_of_a_stranger_says_so(file_url: str) -> None:
    """Of somebody who is not known the page says that nothing is held, and what they can ask for."""
    async with await filled(file_url) as memory:
        page = Page(await memory.show_user("nobody"))
        text = "".join([page.take(item) for item in await exported(memory, "nobody")]) + page.end()
    found = _Elements()
    found.feed(text)
    assert found.open == []
    assert "Nothing is held of you here." in found.text
    assert "Art. 77" in found.text


async def test_a_long_session_comes_in_order_while_it_is_written_to(url: str) -> None:
    """Pages come oldest first, each message once, whatever is appended, trimmed or rectified between them."""
    async with SecureMemory.open(url, max_messages=1500) as memory:
        chat = memory.session("s", user_id="alice")
        await chat.add_many([Message("user", f"text {number}") for number in range(1, 1501)])
        seqs, texts = [], []
        async for item in memory.export_user("alice"):
            if item["kind"] == "message":
                seqs.append(item["seq"])
                texts.append(item["content"])
                if len(seqs) == 10:
                    await chat.add_many([Message("user", f"new {number}") for number in range(600)])
                    await chat.rectify(1400, "rectified", purge_seconds=0)
    assert seqs == sorted(set(seqs))
    assert seqs[:10] == list(range(1, 11))
    assert set(range(601, 1501)) <= set(seqs)
    assert texts[seqs.index(1400)] == "rectified"


async def test_the_command_writes_what_is_asked_for(tmp_path: Path, file_url: str) -> None:
    """`user export` writes a file and a page, in the format that is named; half of one is left nowhere."""
    async with await filled(file_url):
        pass
    lines, html = tmp_path / "a.jsonl", tmp_path / "a.html"

    def run(*arguments: str) -> tuple[int, str]:
        made = subprocess.run(
            [*RUN, "user", *arguments, "--url", file_url], check=False, capture_output=True, encoding="utf-8"
        )
        assert made.returncode or not made.stderr, made.stderr
        return made.returncode, made.stdout

    code, said = run("export", "alice", "--out", str(lines), "--html", str(html), "--format", "openai")
    assert (code, "4 messages" in said) == (0, True)
    assert [len(json.loads(line)["messages"]) for line in lines.read_text().splitlines()] == [2, 1, 1]
    assert html.read_text().startswith("<!doctype html>")
    assert (lines.stat().st_mode & 0o777, html.stat().st_mode & 0o777) == (0o600, 0o600)
    assert run("export", "alice", "--out", str(tmp_path / "new"), "--html", str(html))[0] == 2
    assert not (tmp_path / "new").exists()
    assert run("export", "alice", "--format", "yaml")[0] == 2
    code, said = run("export", "alice")
    assert [json.loads(line)["kind"] for line in said.splitlines()][:2] == ["export", "session"]
    code, said = run("show", "alice", "--json")
    shown = json.loads(said)
    assert (len(shown["sessions"]), shown["messages"], shown["visits"], shown["generation"]) == (2, 4, 1, 1)
    assert "Nothing is held" in run("show", "nobody")[1]


async def test_the_command_rectifies_from_a_file_or_standard_input(tmp_path: Path, file_url: str) -> None:
    """`user rectify` takes the new content as text or JSON; what is not there is no message, and nothing is printed."""
    async with await filled(file_url):
        pass

    def run(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [*RUN, "user", "rectify", "alice", *arguments, "--url", file_url, "--policy", "plain"]
        return subprocess.run(command, check=False, capture_output=True, encoding="utf-8", input=given)

    made = run("two", "1", given="the secret truth\n")
    assert (made.returncode, made.stdout, made.stderr) == (0, "Rectified.\n", "")
    content = tmp_path / "content.json"
    content.write_text('[{"type": "text", "text": "parts"}]')
    made = run("<b>one</b>", "2", "--from", str(content), "--content-json", "--json")
    assert made.stderr == ""
    assert (made.returncode, json.loads(made.stdout)) == (0, {"rectified": True, "seq": 2})
    for wrong in (("two", "2"), ("none", "1"), ("two", "0"), ("two", "1", "--content-json")):
        made = run(*wrong, given="the secret truth")
        assert made.returncode == 2
        assert not any(word in made.stderr for word in ("secret", "alice"))
    async with SecureMemory.open(file_url) as memory:
        [told] = await memory.session("two", user_id="alice").history()
        [_, parts] = await memory.session("<b>one</b>", user_id="alice").history()
    assert (told.content, parts.content) == ("the secret truth", [{"type": "text", "text": "parts"}])
