"""`securemem policy validate|test`: whether a policy is one, and whether it decides what its own tests say."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from securemem.cli.command import command
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, grid, printable
from securemem.cli.policy.group import app
from securemem.errors import PolicyError

if TYPE_CHECKING:
    from securemem.policy.load import Loaded
    from securemem.policy.schema import Case, Given
    from securemem.policy.trial import Outcome

Named = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="A policy's file, or a shipped one's name.", show_default=False)
]
Environment = Annotated[
    str | None,
    typer.Option("--environment", metavar="NAME", envvar="SECUREMEM_ENVIRONMENT", help="Which of its environments."),
]


@command(app, "validate")
async def _validate(*, out: Output, policy: Named, environment: Environment = None) -> None:
    """Check a policy: what is wrong in it, and what is odd, each with its line and column.

    Exits with 1 if something is wrong; warnings are for you to judge.
    """
    try:
        loaded = load(policy, environment)
        warnings = [*_warnings(loaded), *_warnings_elsewhere(policy, environment, loaded)]
    except PolicyError as exc:
        if out.as_json:
            out.answer({"valid": False, "error": _as_json(exc), "warnings": []})
        else:
            _say(out, str(exc), "bold red")
        raise AnswerIsNo("the policy is wrong") from exc
    if out.as_json:
        out.answer({"valid": True, **_summary(loaded), "warnings": [_as_json(warning) for warning in warnings]})
        return
    for warning in warnings:
        _say(out, _marked(warning), "yellow")
    _say(out, _in_a_line(loaded), "green")


@command(app, "test")
async def _test(*, out: Output, policy: Named, environment: Environment = None) -> None:
    """Run the tests that a policy carries, and say which of its rules they touch.

    Exits with 1 if one fails.
    """
    from securemem.policy import trial  # noqa: PLC0415

    loaded = load(policy, environment)
    cases = loaded.file.tests
    outcomes = trial.run(cases, loaded.policy.rules, time.time_ns() // 1_000_000)
    touched = Counter(rule for outcome in outcomes for rule in outcome.matched)
    rules = {rule.id: touched[rule.id] for rule in loaded.policy.rules.rules}
    failed = [outcome for outcome in outcomes if not outcome.passed]
    document = {
        "policy": loaded.policy.name,
        "tests": len(outcomes),
        "failed": len(failed),
        "results": [_result(case, outcome) for case, outcome in zip(cases, outcomes, strict=True)],
        "rules": rules,
        "untested": [rule for rule, count in rules.items() if not count],
    }
    out.answer(document, *([] if out.as_json else _report(cases, failed, rules)))
    if failed:
        raise AnswerIsNo(f"{len(failed)} of {_counted(len(outcomes), 'test')} failed")


def load(policy: str, environment: str | None) -> Loaded:
    """Load a policy that is named, or a file.

    Raises:
        ConfigurationError: there is none.
        PolicyError: it is wrong.
    """
    from securemem.policy.load import load_whole  # noqa: PLC0415
    from securemem.policy.shipped import file_of  # noqa: PLC0415

    return load_whole(file_of(policy), environment=environment)


def _warnings(loaded: Loaded) -> list[PolicyError]:
    from securemem.cli.policy import found  # noqa: PLC0415

    return [*loaded.warnings, *found.warnings(loaded)]


def _warnings_elsewhere(policy: str, environment: str | None, loaded: Loaded) -> list[PolicyError]:
    """Give the warnings that only some environment has, where none was asked for."""
    if environment is not None:
        return []
    known = {str(warning) for warning in _warnings(loaded)}
    every = [warning for name in loaded.file.environments for warning in _warnings(load(policy, name))]
    return list({str(warning): warning for warning in every if str(warning) not in known}.values())


def _say(out: Output, line: str, style: str) -> None:
    """Print a line whole, however long: it may be looked for by line and column."""
    from rich.text import Text  # noqa: PLC0415

    out.console.print(Text(printable(line), style=style), soft_wrap=True)


def _place(error: PolicyError) -> str:
    return ":".join(str(part) for part in (error.file, error.line, error.column) if part is not None)


def _marked(warning: PolicyError) -> str:
    place = _place(warning)
    return f"{place}: warning: {str(warning).removeprefix(f'{place}: ')}"


def _as_json(error: PolicyError) -> dict[str, Any]:
    what = str(error).removeprefix(f"{_place(error)}: ")
    if error.hint:
        what = what.removesuffix(f", {error.hint}")
    return {"file": error.file, "line": error.line, "column": error.column, "what": what, "hint": error.hint}


def _summary(loaded: Loaded) -> dict[str, Any]:
    return {
        "name": loaded.policy.name,
        "version": loaded.file.metadata.version,
        "rules": len(loaded.file.rules),
        "tests": len(loaded.file.tests),
        "environments": list(loaded.file.environments),
        "sha256": loaded.policy.sha256,
    }


def _in_a_line(loaded: Loaded) -> str:
    file = loaded.file
    counts = f"{_counted(len(file.rules), 'rule')}, {_counted(len(file.tests), 'test')}"
    return f"{file.metadata.name}, version {file.metadata.version}: {counts}, sha256 {loaded.policy.sha256}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _result(case: Case, outcome: Outcome) -> dict[str, Any]:
    return {
        "number": outcome.number,
        "given": _said(case.given),
        "expected": {"action": outcome.expected.action, "rule": outcome.expected.rule},
        "decided": {"action": outcome.decision.action, "rule": outcome.decision.rule, "why": outcome.decision.why},
        "passed": outcome.passed,
        "matched": sorted(outcome.matched),
    }


def _said(given: Given) -> dict[str, Any]:
    """Give what a test says of its record, without what it leaves as it is."""
    nothing = type(given)()
    return {
        name: getattr(given, name) for name in given.__struct_fields__ if getattr(given, name) != getattr(nothing, name)
    }


def _report(cases: tuple[Case, ...], failed: list[Outcome], rules: dict[str, int]) -> list[object]:
    from rich.text import Text  # noqa: PLC0415

    if not cases:
        untested = f" None of its {_counted(len(rules), 'rule')} is tested." if rules else ""
        return [Text(f"The policy has no tests.{untested}", style="yellow")]
    lines = [line for outcome in failed for line in _failure(cases[outcome.number - 1], outcome)]
    passed = len(cases) - len(failed)
    if failed:
        lines.append(Text(f"{_counted(len(failed), 'test')} failed, {passed} passed.", style="bold red"))
    else:
        lines.append(Text(f"{_counted(passed, 'test')} passed.", style="green"))
    return [*lines, *_coverage(rules)]


def _failure(case: Case, outcome: Outcome) -> list[object]:
    from rich.text import Text  # noqa: PLC0415

    given = ", ".join(f"{name}: {_word(value)}" for name, value in _said(case.given).items()) or "a record"
    decision, expected = outcome.decision, outcome.expected
    wanted = str(expected.action) + (f" by {expected.rule}" if expected.rule is not None else "")
    rows = (
        ("expected", wanted),
        ("decided", f"{decision.action} by {decision.rule}: {decision.why}"),
    )
    return [Text(printable(f"Test {outcome.number}: {given}"), style="bold"), grid(*rows, indent=2), Text("")]


def _word(value: Any) -> str:
    return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)


def _coverage(rules: dict[str, int]) -> list[object]:
    """Give how many tests touch each rule."""
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if not rules:
        return [Text("It has no rules.", style="dim")]
    tested = sum(1 for count in rules.values() if count)
    table = Table.grid(padding=(0, 2, 0, 0))
    for rule, count in rules.items():
        says = Text(_counted(count, "test")) if count else Text("no test touches it", style="yellow")
        table.add_row(Text(f"  {rule}", style="bold"), says)
    return [f"{tested} of {_counted(len(rules), 'rule')} tested:", table]
