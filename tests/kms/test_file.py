"""The file KMS passes the contract, and refuses files that are not its own."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError, WrongKeyError
from securemem.kms.file import FileKms
from securemem.testing import KmsContract
from securemem.testing.kms import CONTEXT, DEPLOYMENT, ConnectKms

OTHER = b"another, 16 byte"


class TestFileKms(KmsContract):
    """Every connection is a new object over one file."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> ConnectKms:
        """Give KMSs over one file."""
        return lambda: FileKms(tmp_path / "store.kek")


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Give a KEK file with one epoch."""
    path = tmp_path / "store.kek"
    kms = FileKms(path)
    await kms.open(DEPLOYMENT, create=True)
    await kms.create_epoch(1)
    await kms.aclose()
    return path


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    """The file has mode 0600 when it is made and after every change, and nothing is left beside it."""
    kms = FileKms(path)
    await kms.open(DEPLOYMENT, create=False)
    await kms.create_epoch(2)
    await kms.destroy_epoch(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


async def test_a_missing_file_is_not_made_for_what_is_there(tmp_path: Path) -> None:
    """Without `create` a missing file is an error that says to restore it, and none is made."""
    with pytest.raises(ConfigurationError, match="restore it"):
        await FileKms(tmp_path / "store.kek").open(DEPLOYMENT, create=False)
    assert list(tmp_path.iterdir()) == []


async def test_a_missing_folder(tmp_path: Path) -> None:
    """A folder that is not there is an error of ours."""
    with pytest.raises(ConfigurationError, match="cannot be written"):
        await FileKms(tmp_path / "nowhere" / "store.kek").open(DEPLOYMENT, create=True)


async def test_a_directory(tmp_path: Path) -> None:
    """A directory is an error of ours."""
    tmp_path.chmod(0o700)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        await FileKms(tmp_path).open(DEPLOYMENT, create=True)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
async def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    """A KEK file that others may read is refused, and the error says what to do."""
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        await FileKms(path).open(DEPLOYMENT, create=False)


async def test_another_deployments_file_is_refused(path: Path) -> None:
    """Another deployment's file is refused, with the ids of both."""
    for create in (False, True):
        with pytest.raises(ConfigurationError, match=f"{DEPLOYMENT.hex()}, not to {OTHER.hex()}"):
            await FileKms(path).open(OTHER, create=create)


async def _begun(path: Path, deployment: bytes) -> FileKms:
    """Give a KMS whose file has no epoch yet: a beginning that was interrupted, or is under way."""
    kms = FileKms(path)
    await kms.open(deployment, create=True)
    assert json.loads(path.read_text())["epochs"] == {}
    return kms


@pytest.mark.parametrize("create", [False, True])
async def test_a_file_with_no_epoch_is_taken_over(tmp_path: Path, *, create: bool) -> None:
    """What is left of an interrupted beginning is anybody's; from its first epoch on it is theirs alone."""
    path = tmp_path / "store.kek"
    await _begun(path, OTHER)
    kms = FileKms(path)
    await kms.open(DEPLOYMENT, create=create)
    assert await kms.epochs() == []
    await kms.create_epoch(1)
    box = await kms.wrap(1, RawKey(bytes(32)), context=CONTEXT)
    assert json.loads(path.read_text())["deployment"] == DEPLOYMENT.hex()
    before = path.read_bytes()
    for may_create in (False, True):
        with pytest.raises(ConfigurationError, match=f"{DEPLOYMENT.hex()}, not to {OTHER.hex()}"):
            await FileKms(path).open(OTHER, create=may_create)
    assert path.read_bytes() == before
    again = FileKms(path)
    await again.open(DEPLOYMENT, create=False)
    assert (await again.unwrap(1, box, context=CONTEXT)).expose_secret() == bytes(32)


async def test_of_two_that_begin_in_one_file_one_is_refused(tmp_path: Path) -> None:
    """Two deployments that have one new file open: the first to make an epoch has it, the other one is refused."""
    path = tmp_path / "store.kek"
    late, kms = await _begun(path, OTHER), await _begun(path, DEPLOYMENT)
    await kms.create_epoch(1)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match=f"{DEPLOYMENT.hex()}, not to {OTHER.hex()}"):
        await late.create_epoch(1)
    with pytest.raises(ConfigurationError, match=f"{DEPLOYMENT.hex()}, not to {OTHER.hex()}"):
        await late.wrap(1, RawKey.generate(), context=CONTEXT)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


async def test_every_truncation_is_refused(path: Path) -> None:
    """A file cut off anywhere is refused, and stays as it was."""
    whole = path.read_bytes().rstrip()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ConfigurationError):
            await FileKms(path).open(DEPLOYMENT, create=False)
        assert path.read_bytes() == whole[:length]


def _changed(name: str, value: object, epochs: dict[str, str] | None = None) -> str:
    document = {"securemem_kek": 1, "deployment": DEPLOYMENT.hex(), "kdf": None, "epochs": epochs or {}}
    return json.dumps(document | {name: value})


_CHANGES: list[tuple[str, object]] = [
    ("securemem_kek", 2),
    ("securemem_kek", "1"),
    ("deployment", "zz"),
    ("deployment", 7),
    ("epochs", []),
    ("epochs", None),
    ("epochs", {"1": "00"}),
    ("epochs", {"1": 7}),
    ("epochs", {"1": ""}),
    ("epochs", {"one": "00" * 32}),
    ("epochs", {"0": "00" * 32}),
    ("epochs", {"-1": "00" * 32}),
    ("kdf", {"name": "scrypt"}),
]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "7",
        '"securemem_kek"',
        "[" * 100_000,
        "\ufffd" * 50,
        *(_changed(name, value) for name, value in _CHANGES),
        *(_changed("deployment", value, {"1": "00" * 32}) for value in ("", "zz", 7, None, OTHER.hex())),
    ],
)
async def test_garbage_is_refused(path: Path, text: str) -> None:
    """What is no KEK file of this version is a ConfigurationError, whatever it is."""
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        await FileKms(path).open(DEPLOYMENT, create=False)
    assert path.read_text() == text


async def test_what_is_changed_into_garbage_is_none(path: Path) -> None:
    """The control: the document that those changes are made to opens, with an epoch and without."""
    for epochs, numbers in ({}, []), ({"1": "00" * 32}, [1]):
        path.write_text(_changed("kdf", None, epochs))
        kms = FileKms(path)
        await kms.open(DEPLOYMENT, create=False)
        assert await kms.epochs() == numbers


async def test_a_huge_file_is_refused_unread(path: Path) -> None:
    """A file of a gigabyte is refused by its length."""
    with path.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(ConfigurationError, match="too large"):
        await FileKms(path).open(DEPLOYMENT, create=False)


_CREATE = """
import asyncio, sys
from securemem.crypto.secret import RawKey
from securemem.kms.file import FileKms

async def main(path, deployment, context):
    kms = FileKms(path)
    print("ready", flush=True)
    sys.stdin.readline()
    await kms.open(deployment, create=True)
    await kms.create_epoch(1)
    print((await kms.wrap(1, RawKey(bytes(32)), context=context)).hex(), flush=True)

asyncio.run(main(sys.argv[1], bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])))
"""


async def test_processes_that_create_at_once_share_one_kek(tmp_path: Path) -> None:
    """Processes that make the file and epoch 1 at the same moment share one KEK: each box opens for all."""
    path = tmp_path / "store.kek"
    arguments = [sys.executable, "-c", _CREATE, str(path), DEPLOYMENT.hex(), CONTEXT.hex()]
    children = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    boxes = [child.communicate(timeout=30)[0].strip() for child in children]
    kms = FileKms(path)
    await kms.open(DEPLOYMENT, create=False)
    for box in boxes:
        assert (await kms.unwrap(1, bytes.fromhex(box), context=CONTEXT)).expose_secret() == bytes(32)
    assert list(tmp_path.iterdir()) == [path]


async def test_a_lost_file_is_said_when_it_is_needed(path: Path) -> None:
    """Where the file vanishes while it is open, every use is an error of ours; once it is back, all is as it was."""
    kms = FileKms(path)
    await kms.open(DEPLOYMENT, create=False)
    box = await kms.wrap(1, RawKey(bytes(32)), context=CONTEXT)
    whole = path.read_bytes()
    path.unlink()
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: kms.unwrap(1, box, context=CONTEXT),
        lambda: kms.wrap(1, RawKey.generate(), context=CONTEXT),
        kms.epochs,
        lambda: kms.create_epoch(2),
        lambda: kms.destroy_epoch(1),
    ]
    for use in uses:
        with pytest.raises(ConfigurationError, match="KEK file"):
            await use()
        assert not path.exists()
    path.write_bytes(whole)
    path.chmod(0o600)
    assert (await kms.unwrap(1, box, context=CONTEXT)).expose_secret() == bytes(32)


async def test_what_another_destroys_is_destroyed_here(path: Path) -> None:
    """An epoch that another process destroys opens and wraps nothing here, though its KEK was in memory."""
    kms, other = FileKms(path), FileKms(path)
    await kms.open(DEPLOYMENT, create=False)
    await other.open(DEPLOYMENT, create=False)
    await other.create_epoch(2)
    boxes = {epoch: await kms.wrap(epoch, RawKey.generate(), context=CONTEXT) for epoch in (1, 2)}
    held = kms._keks[1]
    for epoch, box in boxes.items():
        await kms.unwrap(epoch, box, context=CONTEXT)
    await other.destroy_epoch(1)
    with pytest.raises(WrongKeyError):
        await kms.unwrap(1, boxes[1], context=CONTEXT)
    with pytest.raises(WrongKeyError):
        await kms.wrap(1, RawKey.generate(), context=CONTEXT)
    assert await kms.epochs() == [2]
    assert held._bytes == b"", "and it is wiped"
    await kms.unwrap(2, boxes[2], context=CONTEXT)
