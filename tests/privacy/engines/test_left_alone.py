"""What looks like personal data and is none: numbers, names and code of all kinds."""

from __future__ import annotations

import ast
import json
import random
import sysconfig
import uuid
from pathlib import Path

import pytest

from .asking import ENGINE, found

TEXTS = (
    "order number 345-899-3560 and invoice 0490 75 40 81",
    '{"id": 4155550123, "order_id": "6175550182", "timestamp": 1732617000, "ts_ms": 1732617000123}',
    "uuid 550e8400-e29b-41d4-a716-446655440000, sha 9b74c9897bac770ffc029102a200c5de",
    "commit 3f786850e387550fdac836ed7e6dc881de23001b on 2024-01-15 10:30:00",
    "ISBN 978-3-16-148410-0, ISBN-10 0-306-40615-2, EAN 4006381333931",
    "version 1.2.3.4, Chrome/120.0.6099.71, numpy==1.26.4.1, v10.0.0.1",
    "pi is 3.141592653589793 and 0.4539578763621486 of 4539578763621487",
    "at 52.520008, 13.404954 or -33.865143, 151.209900",
    "127.0.0.1:8080, 0.0.0.0, 255.255.255.0 and ::1",
    "std::vector<int>, a[1::2], x::y, Foo::Bar",
    "10:20:30, 00:00:10.5, 12:34:56:78",
    "call 12345678901234567890 or function call 5551234",
    "user@localhost, @decorator.name, logo@2x.png, git@github.com:org/repo.git, a @ b",
    "os.path, logger.info, self.assertEqual, foo.bar.baz, file.tar.gz, README.md, and/or",
    "the total is 1,234,567.89 USD or 1 234 567 EUR, up 12 %",
    "room 214, page 12-34, pp. 123-456, chapter 3.4.5, §12.3",
    "zip 02139-4307, PO box 1234, 5 apples and 10 pears",
    "tracking 1Z999AA10123456784, SKU ABC-1234-XY, flight BA2490",
    "0xdeadbeef, #ff00ff, U+1F600, \\x00, %20",
    "4111 1111 1111 1112, 1234567890123456, 0000 0000 0000 0000",
    "DE89 3704 0044 0532 0130 01 and GB82 WEST 1234",
    "000-12-3456, 666-12-3456, 900-12-3456, 123-45-6789",
    "max_tokens: 4000, total_tokens=123456, num_keys: 12345678, key: value1234",
    "+0530, -07:00, +1, 2+2=4, 1+1234567",
    "between 2019 and 2023, 1990s, 12/25, 24/7",
    "bytes 200-1000/67589, port 5432, pid 12345678",
)


@pytest.mark.parametrize("text", TEXTS)
def test_it_is_left_alone(text: str) -> None:
    """Nothing is found with all entities on but dates."""
    assert found(text) == []


def _documentation() -> list[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    texts = []
    for path in sorted(library.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module))
        texts += [text for text in map(ast.get_docstring, nodes) if text]
    return texts


def test_documentation_is_left_alone() -> None:
    """In the docstrings of the standard library under 5 hits in 10,000 characters, its authors' addresses included."""
    texts = _documentation()
    hits = sum(len(ENGINE.find(text, "en", ENGINE.entities)) for text in texts)
    assert sum(map(len, texts)) > 300_000
    assert hits * 10_000 / sum(map(len, texts)) < 2.5


def _call(draw: random.Random) -> str:
    """Give a tool call as frameworks write them."""
    stamp = f"20{draw.randint(15, 26)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}T10:{draw.randint(10, 59)}:00Z"
    fields = {
        "tool_call_id": f"call_{draw.randbytes(12).hex()}",
        "id": draw.getrandbits(63),
        "order_id": str(draw.randint(10**8, 10**12)),
        "request": str(uuid.UUID(int=draw.getrandbits(128))),
        "created_at": stamp,
        "ts": draw.randint(1_500_000_000_000, 1_800_000_000_000),
        "sha256": draw.randbytes(32).hex(),
        "price": round(draw.uniform(0, 9999), 2),
        "version": ".".join(str(draw.randint(0, 30)) for _ in range(4)),
        "position": [draw.uniform(-90, 90), draw.uniform(-180, 180)],
        "embedding": [draw.gauss(0, 1) for _ in range(8)],
        "isbn": f"978-3-{draw.randint(10, 99)}-{draw.randint(100000, 999999)}-{draw.randint(0, 9)}",
        "usage": {"prompt_tokens": draw.randint(1, 9999), "total_tokens": draw.randint(1, 9999)},
        "page_token": f"CAUQ{draw.randbytes(10).hex()}",
        "zip": f"{draw.randint(10000, 99999)}-{draw.randint(1000, 9999)}",
        "log": f"[10:20:30] pid={draw.randint(1000, 99999)} took {draw.randint(1, 999)}ms",
    }
    return json.dumps(dict(draw.sample(sorted(fields.items()), 8)))


def test_tool_calls_are_left_alone() -> None:
    """In two thousand tool calls without personal data there is under one hit in 10,000 characters."""
    draw = random.Random(11)
    texts = [_call(draw) for _ in range(2_000)]
    hits = sum(len(ENGINE.find(text, "en", ENGINE.entities)) for text in texts)
    assert hits * 10_000 / sum(map(len, texts)) < 1
