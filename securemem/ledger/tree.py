"""The Merkle tree over the audited events' hashes, as its nodes lie beside the events.

Event n is leaf n - 1. Beside it lies the head of the largest full part that ends with it: of 2^k leaves, where 2^k is
the largest power of two that divides n. Any other full part is the right half of a larger one and follows from those,
so that a proof wants a few hundred rows at most, whatever the size, and an event costs one node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from securemem.crypto import merkle
from securemem.crypto.merkle import Frontier, Range
from securemem.errors import IntegrityError
from securemem.ledger.events import Event

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables

_AT_ONCE = 500


class Node(NamedTuple):
    """What lies with an event: its hash, and the head of the largest full part that ends with it."""

    hash: bytes
    node: bytes


@dataclass(frozen=True, slots=True)
class Inclusion:
    """That an event is in the chain, in a form that is checked offline.

    Attributes:
        number: the event's.
        size: how many events there were when it was proven.
        root: the tree's head then.
        path: what leads from the event to it, the lowest node first.
        before: the hash of the event before.
        event: the event.
    """

    number: int
    size: int
    root: bytes
    path: tuple[bytes, ...]
    before: bytes
    event: Event

    def to_json(self) -> dict[str, Any]:
        """Give it JSON-ready, its bytes in hex."""
        return {
            "number": self.number,
            "size": self.size,
            "root": self.root.hex(),
            "path": [node.hex() for node in self.path],
            "before": self.before.hex(),
            "event": self.event.to_json(),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Inclusion:
        """Take what `to_json` gave, and check it.

        Raises:
            IntegrityError: malformed, or it proves nothing.
        """
        try:
            number, size = int(document["number"]), int(document["size"])
            root, before, *path = map(bytes.fromhex, (document["root"], document["before"], *document["path"]))
            proof = cls(number, size, root, tuple(path), before, Event.from_json(document["event"]))
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise IntegrityError("this is no proof that an event is in the audit") from exc
        proof.check()
        return proof

    def check(self) -> None:
        """Check that the event is in the tree.

        Raises:
            IntegrityError: it is not.
        """
        merkle.check_inclusion(self.event.chained(self.before), self.number - 1, self.size, self.path, self.root)


async def size_of(connection: AsyncConnection, tables: Tables) -> int:
    """Give how many events there are."""
    from sqlalchemy import func, select  # noqa: PLC0415

    return int((await connection.execute(select(func.max(tables.audit.c.number)))).scalar() or 0)


async def frontier(connection: AsyncConnection, tables: Tables, size: int) -> tuple[Frontier, bytes | None]:
    """Give the tree of so many events, to go on from, and the last one's hash; None where there is none."""
    parts = merkle.full_parts(0, size)
    found = await nodes(connection, tables, [high for _, high in parts])
    tree = Frontier(size, [found[high].node for _, high in parts])
    return tree, found[size].hash if size else None


async def nodes(connection: AsyncConnection, tables: Tables, numbers: Sequence[int]) -> dict[int, Node]:
    """Give what lies with some events; of one that is missing, what no event could have."""
    from sqlalchemy import select  # noqa: PLC0415

    audit = tables.audit.c
    found = {number: Node(b"", b"") for number in numbers}
    for start in range(0, len(numbers), _AT_ONCE):
        some = audit.number.in_(numbers[start : start + _AT_ONCE])
        rows = await connection.execute(select(audit.number, audit.hash, audit.node).where(some))
        found |= {row.number: Node(row.hash, row.node or b"") for row in rows}
    return found


async def heads(connection: AsyncConnection, tables: Tables, ranges: Sequence[Range]) -> list[bytes]:
    """Give the heads of ranges of leaves, as `merkle.inclusion` and `merkle.consistency` name them."""
    parts = [merkle.full_parts(*each) for each in ranges]
    wanted = {number for each in parts for part in each for number in _rows(part)}
    found = await nodes(connection, tables, sorted(wanted))
    return [merkle.fold(_head(part, found) for part in each) for each in parts]


def _rows(part: Range) -> Iterable[int]:
    """Give the events beside which lies what a full part's head follows from."""
    low, high = part
    size = high - low
    if size == 1 or not low & size:
        return [high]
    return [high - size // 2, *_rows((low + size // 2, high))]


def _head(part: Range, found: Mapping[int, Node]) -> bytes:
    low, high = part
    size = high - low
    if size == 1:
        return merkle.leaf_hash(found[high].hash)
    if not low & size:
        return found[high].node
    middle = low + size // 2
    return merkle.node_hash(found[middle].node, _head((middle, high), found))
