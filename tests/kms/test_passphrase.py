"""The passphrase KMS passes the contract, and opens with its passphrase alone."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from securemem import SecureMemory
from securemem.crypto.kdf import scrypt
from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError, WrongKeyError
from securemem.kms.file import FileKms
from securemem.kms.passphrase import PassphraseKms
from securemem.testing import KmsContract, search
from securemem.testing.kms import CONTEXT, DEPLOYMENT, ConnectKms

COST = 2**10
PASSPHRASE = "correct horse ☂"


def _kms(path: Path, passphrase: str = PASSPHRASE) -> PassphraseKms:
    return PassphraseKms(path, passphrase, cost=COST)


class TestPassphraseKms(KmsContract):
    """Every connection is a new object over one file, with the same passphrase."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> ConnectKms:
        """Give KMSs over one file."""
        return lambda: _kms(tmp_path / "store.kek")


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """Give a KEK file with one epoch under the passphrase."""
    path = tmp_path / "store.kek"
    kms = _kms(path)
    await kms.open(DEPLOYMENT, create=True)
    await kms.create_epoch(1)
    await kms.aclose()
    return path


@pytest.mark.parametrize("passphrase", ["correct horse", "Correct horse ☂", PASSPHRASE + " ", "x"])
async def test_a_wrong_passphrase(path: Path, passphrase: str) -> None:
    """Another passphrase is a WrongKeyError at open."""
    with pytest.raises(WrongKeyError, match="passphrase"):
        await _kms(path, passphrase).open(DEPLOYMENT, create=False)


async def test_an_empty_passphrase(path: Path, tmp_path: Path) -> None:
    """An empty passphrase is refused before anything is opened, for a file that is there and for a new one."""
    before = path.read_bytes()
    for place in (path, tmp_path / "new.kek"):
        with pytest.raises(ConfigurationError, match="empty"):
            _kms(place, "")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


async def test_a_passphrase_file_is_no_plain_file(path: Path) -> None:
    """What is sealed under a passphrase does not open as file://, and stays as it is."""
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="passphrase://"):
        await FileKms(path).open(DEPLOYMENT, create=True)
    assert path.read_bytes() == before


async def test_a_plain_file_is_no_passphrase_file(tmp_path: Path) -> None:
    """A plain KEK file does not open as passphrase://, and stays as it is."""
    path = tmp_path / "plain.kek"
    plain = FileKms(path)
    await plain.open(DEPLOYMENT, create=True)
    await plain.create_epoch(1)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="file://"):
        await _kms(path).open(DEPLOYMENT, create=True)
    assert path.read_bytes() == before


async def test_the_derivation_runs_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening derives the key once; what comes later does not, be the file made anew by this or by another process."""
    derived = []

    def counted(passphrase: bytes, **parameters: Any) -> RawKey | bytes:
        derived.append(passphrase)
        return scrypt(passphrase, **parameters)

    monkeypatch.setattr("securemem.kms.passphrase.scrypt", counted)
    kms, other = _kms(path), _kms(path)
    await kms.open(DEPLOYMENT, create=False)
    await kms.create_epoch(2)
    await kms.unwrap(2, await kms.wrap(2, RawKey.generate(), context=CONTEXT), context=CONTEXT)
    await kms.destroy_epoch(1)
    assert derived == [PASSPHRASE.encode()]
    await other.open(DEPLOYMENT, create=False)
    await other.create_epoch(3)
    await kms.unwrap(3, await other.wrap(3, RawKey.generate(), context=CONTEXT), context=CONTEXT)
    assert derived == [PASSPHRASE.encode()] * 2


class _Terminal(io.StringIO):
    """A standard input that somebody sits at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sit at a terminal and answer every prompt; gives the prompts."""
    prompts: list[str] = []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return PASSPHRASE

    monkeypatch.setattr("securemem.adapters.getpass", answer)
    monkeypatch.setattr("sys.stdin", _Terminal())
    monkeypatch.setattr("securemem.kms.passphrase.PassphraseKms.__init__.__kwdefaults__", {"cost": COST})
    return prompts


def _store(folder: Path) -> SecureMemory:
    return SecureMemory.open(f"sqlite:///{folder}/store.db", kms=f"passphrase:///{folder}/store.kek")


async def test_the_passphrase_is_asked_for_once(tmp_path: Path, asked: list[str]) -> None:
    """Opening a store asks once, at a terminal; what comes later, a rotation too, does not ask again."""
    async with _store(tmp_path) as memory:
        await memory.session("s").add("user", "hello")
        await memory.keys.close_epoch(backup=tmp_path / "backup.db")
        assert len(await memory.session("s").history()) == 1
    assert len(asked) == 1
    assert json.loads((tmp_path / "store.kek").read_text())["kdf"]["name"] == "scrypt"


async def test_the_environment_is_asked_first(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SECUREMEM_PASSPHRASE is set nobody is asked; and it is that one which opens."""
    monkeypatch.setenv("SECUREMEM_PASSPHRASE", "battery staple")
    async with _store(tmp_path):
        assert asked == []
    monkeypatch.delenv("SECUREMEM_PASSPHRASE")
    with pytest.raises(WrongKeyError, match="passphrase"):
        await _store(tmp_path).__aenter__()
    assert len(asked) == 1


@pytest.mark.parametrize("given", ["nowhere to ask", "an empty answer"])
async def test_no_passphrase_no_file(
    tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    """A first open without a passphrase leaves no file behind; with one, the control, the same open makes them all."""
    with monkeypatch.context() as patch:
        if given == "nowhere to ask":
            patch.setattr("sys.stdin", io.StringIO())
        else:
            patch.setattr("securemem.adapters.getpass", lambda prompt: "")
        memory = _store(tmp_path)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="SECUREMEM_PASSPHRASE"):
                await memory.session("s").add("user", "hello")
        await memory.close()
        assert list(tmp_path.iterdir()) == []
    assert asked == []
    async with _store(tmp_path) as memory:
        await memory.session("s").add("user", "hello")
    assert {path.name for path in tmp_path.iterdir()} >= {"store.db", "store.keys.db", "store.ledger.db", "store.kek"}


async def test_neither_kek_nor_passphrase_is_in_the_file(path: Path) -> None:
    """The file shows neither the passphrase nor a KEK in hex; a plain file, the control, shows its KEK."""
    kms = _kms(path)
    await kms.open(DEPLOYMENT, create=False)
    secret = kms._keks[1].expose_secret()
    assert not search([path], [PASSPHRASE, secret, secret.hex()])
    plain = FileKms(path.with_name("plain.kek"))
    await plain.open(DEPLOYMENT, create=True)
    await plain.create_epoch(1)
    assert search([plain.path], plain._keks[1].expose_secret().hex())


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "argon9"},
        {"n": 2**40},
        {"n": 3},
        {"n": 0},
        {"n": -1024},
        {"n": "1024"},
        {"n": None},
        {"n": 1024.5},
        {"r": 10**6},
        {"r": 0},
        {"p": 10**6},
        {"salt": "zz"},
        {"salt": 7},
    ],
)
async def test_a_strange_derivation_is_refused(path: Path, changes: dict[str, object]) -> None:
    """Parameters that are unknown, absurd or dangerous are refused before anything is derived."""
    document = json.loads(path.read_text())
    document["kdf"] |= changes
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError):
        await _kms(path).open(DEPLOYMENT, create=False)


@pytest.mark.parametrize("kdf", [7, "scrypt", [], {}, True])
async def test_a_derivation_of_another_shape_is_refused(path: Path, kdf: object) -> None:
    """A `kdf` that is no object, or an empty one, is refused."""
    document = json.loads(path.read_text()) | {"kdf": kdf}
    path.write_text(json.dumps(document))
    with pytest.raises(ConfigurationError):
        await _kms(path).open(DEPLOYMENT, create=False)


async def test_a_kek_moved_to_another_epoch_is_refused(path: Path) -> None:
    """A sealed KEK is bound to its epoch and deployment."""
    document = json.loads(path.read_text())
    document["epochs"] = {"2": document["epochs"]["1"]}
    path.write_text(json.dumps(document))
    with pytest.raises(WrongKeyError):
        await _kms(path).open(DEPLOYMENT, create=False)
