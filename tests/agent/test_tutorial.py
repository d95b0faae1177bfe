"""The tutorial of `docs/agent.md`: on every backend that outlives an agent, and its model of an endpoint at one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from tests.test_documents import ROOT, Reader

from .endpoint import Endpoint

PAGE = ROOT / "docs" / "agent.md"
URL = "sqlite:///conversations.db"


@pytest.mark.parametrize("kind", ["postgres", "redis"])
def test_the_tutorial_runs_on_servers(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """What the page does with a file it does with a server, by nothing but the URL."""
    url = request.getfixturevalue({"postgres": "postgres_url", "redis": "redis_store_url"}[kind])
    page = tmp_path / "agent.md"
    text = PAGE.read_text("utf-8")
    assert text.count(f'memory="{URL}"') == 2
    page.write_text(text.replace(f'memory="{URL}"', f'memory="{url}"'), "utf-8")
    reader = Reader(tmp_path)
    try:
        reader.try_all(page)
    finally:
        reader.close()


async def test_its_endpoint_and_its_redis_are_asked(redis_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The two blocks that only define what they show do it."""
    names: dict[str, object] = {}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    wanted = [block for block in blocks if "async def with_ollama" in block or "async def on_redis" in block]
    first = blocks[0].partition("\n\nagent = ")[0]
    for block in (first, *wanted):
        exec(block, names)
    async with Endpoint() as endpoint:
        assert await names["with_ollama"](endpoint.url) == "echo: And at night?"  # type: ignore[operator]
    assert capsys.readouterr().out == "echo: Why is the sky blue?"
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        await names["on_redis"](client)  # type: ignore[operator]
        client.delete(*client.scan_iter("agent:sessions:*"))
