"""The control for texts: laid out in clear in a folder of their own, in every form, each has to be found."""

from __future__ import annotations

import tempfile
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from securemem.proving.files import read_all
from securemem.proving.place import Missed
from securemem.proving.scan import Kind, Needles, Scan
from securemem.proving.search import forms

_BEFORE_BYTES = 100


def lay_out(marks: Sequence[str], needles: Needles) -> tuple[int, int]:
    """Lay texts out in clear, search them as all other files are, and remove them.

    Returns:
        How many files there were, one for each form of a mark and one for that compressed, and in how many a text was
        found.
    """
    texts = [pattern for mark in marks for _, pattern in forms(mark)]
    texts += [zlib.compress(text * 3) for text in texts]
    with tempfile.TemporaryDirectory(prefix="securemem-") as folder:
        return len(texts), sum(_is_found(text, Path(folder, str(number)), needles) for number, text in enumerate(texts))


def _is_found(text: bytes, path: Path, needles: Needles) -> bool:
    path.write_bytes(bytes(_BEFORE_BYTES) + text)
    scan = Scan(needles)
    read_all(lambda: [path], scan, Missed(), threading.Event())
    return Kind.TEXT in scan.found
