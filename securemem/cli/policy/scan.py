"""`securemem policy scan`: what of a text would be found and how it would be treated; nothing is stored."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from securemem.cli.command import command
from securemem.cli.output import Output, grid, printable
from securemem.cli.policy.group import app
from securemem.errors import InvalidInputError, PIIBlockedError

if TYPE_CHECKING:
    from rich.text import Text

    from securemem.model import Span
    from securemem.policy import Policy
    from securemem.policy.rules import Branch

_STYLES = {
    "keep": "dim",
    "redact": "bold red",
    "mask": "yellow",
    "hash": "magenta",
    "pseudonymise": "cyan",
    "generalise": "green",
    "block": "bold white on red",
}

_File = Annotated[
    str, typer.Argument(metavar="FILE|-", help="A text, or JSON Lines with `content`; - is standard input.")
]
_Policy = Annotated[str | None, typer.Option("--policy", metavar="NAME|FILE", help="A policy; `default` if not given.")]
_Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="As if it had this tag; again for more.")]
_SessionTags = Annotated[
    list[str] | None, typer.Option("--session-tag", metavar="TAG", help="As if its session had this tag.")
]
_Purpose = Annotated[str | None, typer.Option(metavar="PURPOSE", help="As if it were written for this purpose.")]


class _Line(NamedTuple):
    """A line of input: what stands in it, and what would become of that.

    Attributes:
        content: as it was given.
        spans: of each of its texts.
        treated: what would be stored; None where the message would be refused.
        treatments: by entity, those of the policy and of the rules that are for it.
        refusal: why it would be.
    """

    content: Any
    spans: list[list[Span]]
    treated: Any
    treatments: dict[str, str]
    refusal: str = ""


@command(app, "scan")
async def _scan(
    *,
    out: Output,
    file: _File,
    policy: _Policy = None,
    tag: _Tags = None,
    session_tag: _SessionTags = None,
    purpose: _Purpose = None,
) -> None:
    """Show what of a text would be found and how it would be treated; nothing is stored.

    With --json, one object a line of input: `spans` with `start`, `end` (in code points), `entity` and `treatment`, and
    `content` as it would be stored. The texts of structured content are counted by `leaf`.
    """
    from securemem import policy as policies  # noqa: PLC0415
    from securemem.policy.rules import facts_of  # noqa: PLC0415

    found = policies.find(policy if policy is not None else "default")
    marks = facts_of(tag or (), session_tag or (), purpose=purpose)
    text, is_jsonl = _read(file)
    with out.working("Looking for personal data"):
        lines = await _scanned(found, marks, list(_contents(text)) if is_jsonl else [text])
    if out.as_json:
        lines = list(_with_blanks(text, lines) if is_jsonl else _by_line(lines[0]))
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        counts.update((span.entity, line.treatments[span.entity]) for spans in line.spans for span in spans)
        out.answer(_as_json(line), *([] if out.as_json else _as_text(line)))
    if not out.as_json:
        out.answer({}, *_summary(counts, found.name))


def _read(file: str) -> tuple[str, bool]:
    """Give the input, and whether it is JSON Lines with `content`."""
    raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidInputError("the input is not UTF-8") from None
    text = text.removesuffix("\n")
    first = next((line for line in text.split("\n") if line.strip()), "")
    try:
        begins = json.loads(first)
    except (ValueError, RecursionError):
        begins = None
    return text, isinstance(begins, dict) and "content" in begins


def _contents(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield json.loads(line)["content"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise InvalidInputError(f"line {number} is no JSON object with `content`") from None


async def _scanned(policy: Policy, marks: Branch, contents: list[Any]) -> list[_Line]:
    from datetime import UTC, datetime  # noqa: PLC0415

    from securemem import codec  # noqa: PLC0415
    from securemem.crypto.mac import hmac_sha256  # noqa: PLC0415
    from securemem.discretion import make_privacy  # noqa: PLC0415
    from securemem.model import Message  # noqa: PLC0415
    from securemem.privacy.vault import Vault  # noqa: PLC0415

    key = os.urandom(32)
    privacy = await make_privacy(policy, lambda data: hmac_sha256(key, data))
    if privacy is None:
        return [_Line(content, [], content, {}) for content in contents]
    desk = privacy.desk(Vault(), datetime.now(UTC))
    lines: list[_Line] = []
    for content in contents:
        found = await privacy.find(codec.plain(Message("user", content)))
        treatments = _treatments(policy, marks, found.entities)
        try:
            treated = privacy.treat(found, desk, None, treatments).content
            lines.append(_Line(content, found.spans, treated, treatments))
        except PIIBlockedError as exc:
            lines.append(_Line(content, found.spans, None, treatments, str(exc)))
    return lines


def _treatments(policy: Policy, marks: Branch, entities: frozenset[str]) -> dict[str, str]:
    """Give how entities are treated in a text in which some were found; the most specific rule comes last."""
    from securemem.discretion import entities_of  # noqa: PLC0415
    from securemem.policy.rules import facts_of  # noqa: PLC0415

    found = entities_of(policy)
    for rule in reversed(policy.rules.matching(marks | facts_of(entities=entities))):
        found |= rule.on_write
    return found


def _with_blanks(text: str, lines: list[_Line]) -> Iterator[_Line]:
    """Give what came of JSON Lines, and of each blank one among them that nothing stands there."""
    scanned = iter(lines)
    for line in text.split("\n"):
        yield next(scanned) if line.strip() else _Line("", [], None, {})


def _by_line(whole: _Line) -> Iterator[_Line]:
    """Give a text's lines; a span over several of them has a part in each."""
    start = 0
    for line in whole.content.split("\n"):
        end = start + len(line)
        spans = [
            span._replace(start=max(span.start, start) - start, end=min(span.end, end) - start)
            for span in (whole.spans[0] if whole.spans else [])
            if span.start < end and start < span.end
        ]
        yield _Line(line, [spans], None, whole.treatments)
        start = end + 1


def _as_json(line: _Line) -> dict[str, Any]:
    spans = [
        {"start": span.start, "end": span.end, "entity": span.entity, "treatment": line.treatments[span.entity]}
        | ({} if isinstance(line.content, str) else {"leaf": leaf})
        for leaf, spans in enumerate(line.spans)
        for span in spans
    ]
    return {"spans": spans} | ({"content": line.treated} if line.treated is not None else {})


def _as_text(line: _Line) -> list[Text]:
    from rich.text import Text  # noqa: PLC0415

    if not isinstance(line.content, str):
        shown = Text(printable(json.dumps(line.content, ensure_ascii=False)))
    else:
        shown = Text(printable(line.content))
        for span in line.spans[0] if line.spans else []:
            shown.stylize(_STYLES.get(line.treatments[span.entity], ""), span.start, span.end)
    if line.refusal:
        return [shown, Text(line.refusal, style=_STYLES["block"])]
    if line.treated == line.content:
        return [shown]
    treated = line.treated if isinstance(line.treated, str) else json.dumps(line.treated, ensure_ascii=False)
    return [shown, Text.assemble(("→ ", "bold"), printable(treated))]


def _summary(counts: Counter[tuple[str, str]], name: str) -> list[object]:
    from rich.text import Text  # noqa: PLC0415

    if not counts:
        return [Text(f"Nothing that policy {name!r} looks for.", style="dim")]
    rows = [(entity, treatment, str(count)) for (entity, treatment), count in sorted(counts.items())]
    return [Text(""), grid(*rows)]
