"""Reads the files in which SQL lies: named queries, each after a line `-- name: its_name`."""

from __future__ import annotations

from pathlib import Path


def load(path: Path, **names: str) -> dict[str, str]:
    """Give the queries of a file by name.

    Args:
        path: the file.
        names: what to put for `{placeholders}`: identifiers that were checked by the caller.
    """
    queries = {}
    for block in path.read_text(encoding="utf-8").split("-- name: ")[1:]:
        name, _, text = block.partition("\n")
        for placeholder, value in names.items():
            text = text.replace("{" + placeholder + "}", value)
        queries[name.strip()] = text.strip().rstrip(";")
    return queries
