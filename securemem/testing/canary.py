"""Canaries in tests: texts that stand for personal data, and what fails where they are found, or are not.

    canary = make_canary()
    await chat.add("user", f"call me, {canary}")
    assert_absent([tmp_path], canary)          # in no file of the folder, in none of the forms that `search` knows

A search that finds nothing shows nothing until a control has shown that it would have found it: write the canary in
clear, or switch off what hides it, and call `assert_found`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from securemem.proving.search import Finding, Needle, as_list, make_canary, pieces, search, search_bytes

__all__ = ["Finding", "assert_absent", "assert_found", "make_canary", "pieces", "search", "search_bytes"]


def assert_absent(places: Iterable[Path], needles: Needle | Iterable[Needle]) -> None:
    """Fail if any canary is found anywhere, and say where."""
    found = search(places, needles)
    assert not found, _describe(found)


def assert_found(places: Iterable[Path], needles: Needle | Iterable[Needle]) -> list[Finding]:
    """Fail unless every canary is found: the control that shows what a search would have seen."""
    sought = as_list(needles)
    assert sought, "a control needs a canary"
    found = search(places, sought)
    missing = len(set(sought)) - len({finding.needle for finding in found})
    assert not missing, f"the control did not find {missing} of {len(set(sought))} canaries: the search proves nothing"
    return found


def _describe(found: list[Finding]) -> str:
    lines = [f"{finding.place}, byte {finding.offset}, as {finding.form}" for finding in found[:20]]
    return f"{len(found)} canaries were found:\n  " + "\n  ".join(lines)
