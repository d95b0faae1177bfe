"""Files as places: all below a folder, packed ones unpacked, and what cannot be read is named."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from securemem.proving.files import below, of_files, of_sqlite
from securemem.proving.place import CLEAN, FOUND, UNSEEN, Look, Place
from securemem.proving.scan import BLOCK_BYTES, Kind, Needles

MARK = "zukamoribexadofe"
NEEDLES = Needles.of([MARK], [])
LONG = os.urandom(BLOCK_BYTES) + MARK.encode() * 2 + os.urandom(BLOCK_BYTES)
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}


async def look(path: Path) -> Look:
    """Look at a file or folder."""
    return await Place("also", "files", str(path), of_files(lambda: below(path))).look(NEEDLES)


@pytest.mark.parametrize("ending", [*PACKED, "zip"])
async def test_a_packed_file_is_unpacked(tmp_path: Path, ending: str) -> None:
    """A text deep in a file that is compressed as a whole is found."""
    path = tmp_path / f"backup.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("first", b"nothing")
            archive.writestr("second", LONG)
    else:
        path.write_bytes(PACKED[ending](LONG))
    found = await look(path)
    assert (found.state, found.found, found.why) == (FOUND, frozenset({Kind.TEXT}), "")
    assert found.size > path.stat().st_size


async def test_a_packed_file_cut_short_is_named(tmp_path: Path) -> None:
    """What comes before the cut is searched, and the look says that it did not get to the end."""
    path = tmp_path / "cut.xz"
    path.write_bytes(lzma.compress(os.urandom(999) + MARK.encode() + os.urandom(BLOCK_BYTES))[: -BLOCK_BYTES // 2])
    found = await look(path)
    assert "cut.xz cannot be unpacked to its end" in found.why


async def test_all_below_a_folder_is_searched_once(tmp_path: Path) -> None:
    """Folders in folders and links are followed, a circle of links ends, and what is not there is not looked at."""
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "log").write_text(f"user said {MARK}")
    elsewhere = tmp_path / "linked"
    elsewhere.mkdir()
    (elsewhere / "back").symlink_to(tmp_path / "one", target_is_directory=True)
    (deep / "circle").symlink_to(tmp_path, target_is_directory=True)
    assert (await look(elsewhere)).state == FOUND
    assert (await look(tmp_path / "nowhere")).state == UNSEEN
    (deep / "log").write_text("user said nothing")
    assert (await look(elsewhere)).state == CLEAN


async def test_what_sqlite_puts_beside_a_file_belongs_to_it(tmp_path: Path) -> None:
    """Log, shared memory and journal are read with the file."""
    for ending in ("-wal", "-shm", "-journal"):
        path = tmp_path / f"store{ending}.db"
        path.write_bytes(b"SQLite format 3\0")
        path.with_name(path.name + ending).write_text(MARK)
        assert (await Place("data", "files", "", of_sqlite(path)).look(NEEDLES)).state == FOUND
