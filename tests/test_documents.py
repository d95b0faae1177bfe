"""The documents: every block of code in them runs, every link leads somewhere, and the commands are those CI runs.

Blocks by language:

- `python` is executed, block after block in one namespace and one empty folder a document; `await` may stand at the
  top level, as in `python -m asyncio`.
- `console` holds `$ command` lines, which a shell runs in that folder and which have to end with 0. Lines below one
  are what it prints, `...` standing for anything; with none, anything may be printed.
- `sh` holds commands that take too long for a test: each has to be one that CI runs, of README or of `.ci/run`.
- `yaml`, `toml` and `json` are parsed, `text` is only shown. There is no other language.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CI = ROOT / ".ci" / "run"
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(path for place in ("docs", "benchmarks", "deploy") for path in ROOT.glob(f"{place}/**/*.md")),
    ]
)
NAMES = [str(path.relative_to(ROOT)) for path in DOCUMENTS]

_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PRINTED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_MOST_LINES = 15


class Reader:
    """Somebody who tries what a document says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        """Begin in an empty folder."""
        self.folder = folder
        self.tried: list[str] = []
        self._loop = asyncio.Runner()
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def close(self) -> None:
        """End the event loop that the blocks shared."""
        self._loop.close()

    def try_all(self, path: Path) -> None:
        """Try every block of a document, in order."""
        for example in Document.parse(str(path), self._blocks):
            example.evaluate()

    def _blocks(self, document: Document) -> list[Region]:
        found = list(FencedCodeBlockLexer(r".*")(document))
        for region in found:
            region.parsed, region.evaluator = region.lexemes["source"], self._try
        return found

    def _try(self, example: Example) -> None:
        language = example.region.lexemes["language"].strip()
        place = f"{example.path}:{example.line}"
        attempt: Callable[[str, str], None] | None = getattr(self, f"_{language}", None) if language else None
        assert attempt is not None, f"{place}: no block is in {language or 'no language'!r}"
        self.tried.append(language)
        attempt(str(example.parsed), place)

    def _python(self, source: str, place: str) -> None:
        path, _, line = place.rpartition(":")
        code = compile("\n" * int(line) + source, path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, self._names)
        if inspect.iscoroutine(result):
            self._loop.run(result)

    def _console(self, source: str, place: str) -> None:
        for part in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
            command, _, wanted = part.partition("\n")
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=self.folder,
                env=os.environ
                | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "80"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            assert done.returncode == 0, f"{place}: {command}: {done.stderr}"
            printed = doctest.OutputChecker().check_output(wanted.strip(), done.stdout.strip(), _PRINTED)
            assert printed or not wanted.strip(), f"{place}: {command} prints:\n{done.stdout}"

    def _sh(self, source: str, place: str) -> None:
        for line in source.splitlines():
            assert line in commands() or f"'{line}'" in CI.read_text(encoding="utf-8"), (
                f"{place}: CI does not run {line}"
            )

    def _yaml(self, source: str, _: str) -> None:
        yaml.safe_load(source)

    def _toml(self, source: str, _: str) -> None:
        tomllib.loads(source)

    def _json(self, source: str, _: str) -> None:
        json.loads(source)

    def _text(self, source: str, place: str) -> None:
        assert source.strip(), f"{place}: an empty block"


def commands() -> list[str]:
    """Give README's commands: the lines of its `sh` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def anchors(path: Path) -> set[str]:
    """Give the names that GitHub gives a document's headings."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    """Give the links to other files and headings of the project that lead nowhere."""
    broken = []
    for link in _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Give a reader in an empty folder; the event loop is closed when a test of theirs is over."""
    return Reader(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_every_block_runs(name: str, reader: Reader) -> None:
    """What a document shows does what it says."""
    try:
        reader.try_all(ROOT / name)
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("block", "error"),
    [
        ("```python\nassert 1 + 1 == 3\n```", AssertionError),
        ("```python\nimport asyncio\nawait asyncio.sleep(0)\nraise KeyError\n```", KeyError),
        ("```python\nfrom securemem import Forgotten\n```", ImportError),
        ("```console\n$ securemem no-such-command\n```", AssertionError),
        ("```console\n$ echo one\ntwo\n```", AssertionError),
        ("```sh\npytest --of-nobody\n```", AssertionError),
        ("```yaml\na: [\n```", yaml.YAMLError),
        ("```toml\na = \n```", tomllib.TOMLDecodeError),
        ("```json\n{\n```", json.JSONDecodeError),
        ("```rust\nfn main() {}\n```", AssertionError),
        ("```\nno language\n```", AssertionError),
    ],
)
def test_a_broken_block_is_found(block: str, error: type[Exception], reader: Reader, tmp_path: Path) -> None:
    """The control: a block that does not do what it says fails, whatever it is written in."""
    document = tmp_path / "broken.md"
    document.write_text(f"# Broken\n\n{block}\n", encoding="utf-8")
    try:
        with pytest.raises(error):
            reader.try_all(document)
    finally:
        reader.close()


def test_every_block_is_tried(reader: Reader, tmp_path: Path) -> None:
    """The control: as many blocks are tried as stand in a document, and they share their names and their folder."""
    document = tmp_path / "whole.md"
    blocks = [
        "```python\nfrom pathlib import Path\nsaid = 'once'\n```",
        "```python\nimport asyncio\nawait asyncio.sleep(0)\nPath('file').write_text(said)\n```",
        "```console\n$ cat file\nonce\n$ ls\n```",
        "```text\nshown\n```",
    ]
    document.write_text("\n\nBetween.\n\n".join(blocks), encoding="utf-8")
    try:
        reader.try_all(document)
    finally:
        reader.close()
    assert reader.tried == ["python", "python", "console", "text"]


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    """A link within the project names a file that is there, and a heading that is in it."""
    assert broken_links(ROOT / name) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """The control: a missing file and a missing heading are both named."""
    document = tmp_path / "links.md"
    document.write_text("# One\n[a](#one) [b](#two) [c](none.md) [d](links.md#one) [e](https://example.org)\n", "utf-8")
    assert broken_links(document) == ["#two", "none.md"]


def test_the_readme_holds_the_two_commands() -> None:
    """Each is one line that makes its own environment; one ends in `securemem demo`, one in `pytest -n 3`."""
    demo, tests = commands()
    assert demo.endswith("securemem demo")
    assert tests.endswith("pytest -n 3")
    assert all(command.startswith("python3 -m venv ") for command in (demo, tests))


def test_ci_runs_the_readmes_commands() -> None:
    """What `.ci/run` reads out of README are these two lines, and it writes none of its own."""
    text = CI.read_text(encoding="utf-8")
    pattern = re.search(r'grep -E "(.*?)" README\.md', text)
    assert pattern is not None
    for command, ending in zip(commands(), re.findall(r"command_of '(.*?)'\)", text), strict=True):
        found = pattern[1].replace("\\$", "$").replace("$1", ending)
        assert re.findall(found, README.read_text(encoding="utf-8"), re.MULTILINE) == [command]
    assert "pip install" not in text


def test_the_readmes_example_is_short() -> None:
    """It has at most 15 lines."""
    [example] = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(example.splitlines()) <= _MOST_LINES


def test_the_unit_of_workers_is_for_each_tenant() -> None:
    """An instance's name is its tenant's, and a worker reads `securemem.toml` in the folder that the unit makes."""
    unit = (ROOT / "deploy" / "securemem-worker@.service").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in unit if "=" in line and not line.startswith("#"))
    assert given["Environment"] == "SECUREMEM_TENANT=%i"
    assert given["WorkingDirectory"] == f"/var/lib/{given['StateDirectory']}"
