"""Every branch of `decide.py`, flipped: a table of named cases notices it, or else the comparison with random ones."""

from __future__ import annotations

import ast
import copy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from securemem.policy import decide as genuine
from securemem.policy.decide import Decision
from tests.policy.table import CASES, WHY, Case
from tests.policy.test_decide import SEED, differing

SOURCE = Path(genuine.__file__).read_text(encoding="utf-8")
OTHER: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ENOUGH = 10_000

EQUIVALENT = {
    ("if keep is not None and NEVER < life.moment <= now:", "without keep is not None"): (
        "without a keep what is over was deleted three lines before; it stands there for the type checker"
    ),
}
"""What cannot be noticed: the line's text and the change, and why nothing else is decided."""


class Mutant(NamedTuple):
    """The module with one change.

    Attributes:
        line: in which it is, and
        text: of that line.
        change: what was changed.
        tree: of the whole module.
    """

    line: int
    text: str
    change: str
    tree: ast.Module


def mutants() -> Iterator[Mutant]:
    """Give the module with each of its conditions changed in turn."""
    tree = ast.parse(SOURCE)
    for number, node in enumerate(ast.walk(tree)):
        for change, flip in _flips(node):
            other = copy.deepcopy(tree)
            flip(list(ast.walk(other))[number])
            line = getattr(node, "lineno", 0)
            yield Mutant(line, SOURCE.splitlines()[line - 1].strip(), change, ast.fix_missing_locations(other))


def _flips(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Give the changes that a node allows, by name."""
    if isinstance(node, ast.If | ast.IfExp):
        yield f"not ({ast.unparse(node.test)})", _negate
    if isinstance(node, ast.comprehension):
        for place, test in enumerate(node.ifs):
            yield f"without if {ast.unparse(test)}", partial(_drop, place=place)
    if isinstance(node, ast.BoolOp):
        yield f"and for or, or for and: {ast.unparse(node)}", _swap_junction
        for place, part in enumerate(node.values):
            yield f"without {ast.unparse(part)}", partial(_neutralise, place=place)
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in OTHER:
                name = f"{OTHER[type(operator)].__name__} in {ast.unparse(node)}"
                yield name, partial(_swap_operator, place=place)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
        yield f"min for max, max for min: {ast.unparse(node)}", _swap_extreme


def _negate(node: ast.If | ast.IfExp) -> None:
    node.test = ast.UnaryOp(ast.Not(), node.test)


def _drop(node: ast.comprehension, place: int) -> None:
    node.ifs.pop(place)


def _swap_junction(node: ast.BoolOp) -> None:
    node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()


def _neutralise(node: ast.BoolOp, place: int) -> None:
    node.values[place] = ast.Constant(isinstance(node.op, ast.And))


def _swap_operator(node: ast.Compare, place: int) -> None:
    node.ops[place] = OTHER[type(node.ops[place])]()


def _swap_extreme(node: ast.Call) -> None:
    assert isinstance(node.func, ast.Name)
    node.func.id = "max" if node.func.id == "min" else "min"


def made(tree: ast.Module) -> Callable[..., Decision]:
    """Run a module, and give its `decide`."""
    module = ModuleType("mutant")
    sys.modules["mutant"] = module
    try:
        exec(compile(tree, "mutant", "exec"), module.__dict__)
    finally:
        del sys.modules["mutant"]
    decide: Callable[..., Decision] = module.__dict__["decide"]
    return decide


def is_as_written(case: Case, decide: Callable[..., Decision]) -> bool:
    """Tell whether a case of the table is decided as it says, and in its words."""
    record, rules, held, asked = case.situation
    decision = decide(record, rules, held=held, asked=asked, now=case.now)
    found = (decision.action, decision.rule, decision.deadline, decision.keeps)
    return found == case.expected and WHY.get(case.name, decision.why) == decision.why


def is_noticed(decide: Callable[..., Decision]) -> bool:
    """Tell whether the table, or else the random cases, find that this decides something else, or fails."""
    try:
        if any(not is_as_written(case, decide) for case in CASES):
            return True
        return any(differing(SEED + chunk, 1000, decide) for chunk in range(ENOUGH // 1000))
    except Exception:  # noqa: BLE001  (whatever a mutant raises, is noticed)
        return True


def test_no_flipped_branch_goes_unnoticed() -> None:
    """Each change is found, but for those that decide nothing else, each of which is listed with its reason."""
    every = list(mutants())
    silent = {(each.text, each.change): each.line for each in every if not is_noticed(made(each.tree))}
    assert len(every) > 60
    assert silent.keys() == EQUIVALENT.keys(), silent


def test_what_is_not_flipped_is_not_noticed() -> None:
    """The control: the module made anew from its own tree is found without fault."""
    assert not is_noticed(made(ast.parse(SOURCE)))


@pytest.mark.parametrize("kind", [ast.If, ast.IfExp, ast.comprehension, ast.BoolOp, ast.Compare, ast.Call])
def test_every_kind_of_branch_is_flipped(kind: type[ast.AST]) -> None:
    """The control of the list of changes: there is none that no branch of the module is of."""
    assert any(isinstance(node, kind) and list(_flips(node)) for node in ast.walk(ast.parse(SOURCE)))
