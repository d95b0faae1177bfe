"""Opening a store: how it is named, what settings it takes, and where its object may be used."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from securemem import (
    ConfigurationError,
    InvalidInputError,
    Message,
    SecureMemError,
    SecureMemory,
    Session,
    WrongKeyError,
    compose,
    config,
)
from securemem.adapters import make_data
from securemem.config import Settings
from securemem.keys.keyring import Keyring
from securemem.ports import Backend

PARTS = ("store.db", "store.kek", "store.keys.db", "store.ledger.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the folder in which `file_url` names a store."""
    return tmp_path


async def _texts(chat: Session) -> list[Any]:
    return [message.content for message in await chat.history()]


async def _write(url: str, *users: str, **settings: Any) -> None:
    async with SecureMemory.open(url, **settings) as memory:
        for user in users:
            await memory.session("s", user_id=user).add("user", f"of {user}")


async def _read(url: str, user: str, **settings: Any) -> list[Any]:
    async with SecureMemory.open(url, **settings) as memory:
        return await _texts(memory.session("s", user_id=user))


async def test_each_store_can_be_named(folder: Path) -> None:
    """By arguments, and likewise in the URL's query, a variable or the settings file."""
    (folder / "apart").mkdir()
    places = {name: f"sqlite:///{folder}/apart/{name}" for name in ("keystore", "ledger")}
    places["kms"] = f"file:///{folder}/apart/kms"
    await _write(f"sqlite:///{folder}/data", "alice", **places)
    assert sorted(path.name for path in folder.iterdir()) == ["apart", "data"]
    assert sorted(path.name for path in (folder / "apart").iterdir()) == ["keystore", "kms", "ledger"]
    query = "&".join(f"{name}={place}" for name, place in places.items())
    assert await _read(f"sqlite:///{folder}/data?{query}", "alice") == ["of alice"]
    lines = [f'{name} = "{place}"' for name, place in places.items()]
    (folder / "securemem.toml").write_text("\n".join([f'url = "sqlite:///{folder}/data"', *lines]))
    assert await _read("", "alice") == ["of alice"]


async def test_variables_name_stores(file_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`SECUREMEM_URL` names the store where nothing else does; without it there is a clear error."""
    with pytest.raises(ConfigurationError, match="SECUREMEM_URL"):
        SecureMemory.open()
    monkeypatch.setenv("SECUREMEM_URL", file_url)
    async with SecureMemory.open() as memory:
        await memory.session("s").add("user", "x")
    assert len(await _read(file_url, "s")) == 1


@pytest.mark.parametrize(
    "url",
    [
        "conversations.db",
        "sqlite://x.db",
        "sqlite:///",
        "sqlite:///dir/",
        "mysql://x",
        "redis+nothing://x",
        "memory://x",
    ],
)
async def test_a_url_that_names_nothing(url: str, folder: Path) -> None:
    """Another scheme or no file is a configuration error, and nothing is made."""
    with pytest.raises(ConfigurationError):
        await _write(url, "alice")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("store", ["url", "keystore", "ledger"])
async def test_sqlites_own_name_for_memory(folder: Path, store: str) -> None:
    """It is refused for each of the three stores with the name that memory has here, and nothing is made."""
    settings = {"url": f"sqlite:///{folder}/store.db", store: "sqlite:///:memory:"}
    with pytest.raises(ConfigurationError, match="memory://"):
        await _write(settings.pop("url"), "alice", **settings)
    assert list(folder.iterdir()) == []


async def test_a_relative_url_is_in_this_folder(folder: Path) -> None:
    """Three slashes name a file from where the process is."""
    await _write("sqlite:///store.db", "alice")
    assert sorted(path.name for path in folder.iterdir()) == list(PARTS)


async def test_the_file_is_a_directory_or_its_folder_is_missing(folder: Path) -> None:
    """Either is a configuration error that names it, and nothing is made."""
    (folder / "store.db").mkdir()
    for path in (folder / "store.db", folder / "no" / "store.db"):
        with pytest.raises(ConfigurationError, match=str(path.parent)):
            await _write(f"sqlite:///{path}", "alice")
    assert [path.name for path in folder.iterdir()] == ["store.db"]


async def test_tables_and_tenants_are_apart(file_url: str) -> None:
    """Sessions of another table or tenant are not seen, listed or cleared."""
    await _write(file_url, "alice")
    for settings in ({"table_name": "agent_memory"}, {"tenant": "two"}):
        assert await _read(file_url, "alice", **settings) == []
        async with SecureMemory.open(file_url, **settings) as memory:  # type: ignore[arg-type]
            assert [info async for info in memory.sessions()] == []
            await memory.session("s", user_id="alice").clear()
    assert await _read(file_url, "alice") == ["of alice"]


async def test_a_tenant_is_made_only_where_it_may_be(file_url: str, folder: Path) -> None:
    """With `create=False` a tenant that is not there is named, and no file changes; without, it is made."""
    await _write(file_url, "alice")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for settings in ({"tenant": "tow"}, {"table_name": "agent_memory"}):
        tenant, table = settings.get("tenant", "default"), settings.get("table_name", "messages")
        with pytest.raises(ConfigurationError, match=rf"'{tenant}' under '{table}'.*table_name.*init --tenant"):
            await _read(file_url, "alice", create=False, **settings)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert await _read(file_url, "alice", tenant="tow") == []
    assert await _read(file_url, "alice", tenant="tow", create=False) == []


async def _refuse(*_: object, **__: object) -> Any:
    raise ConfigurationError("there is no such thing here")


async def test_what_cannot_be_opened_leaves_no_keys(
    file_url: str, keyrings: list[Keyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where opening fails after a tenant's keys were unwrapped, they are wiped; in an open store they are not."""
    async with SecureMemory.open(file_url) as memory:
        await memory.session("s").add("user", "hello")
        assert keyrings.pop().keyed_hash(b"the control")
    monkeypatch.setattr(compose, "_privacy", _refuse)
    with pytest.raises(ConfigurationError, match="no such thing"):
        await _read(file_url, "alice")
    with pytest.raises(ValueError, match="wiped"):
        keyrings.pop().keyed_hash(b"")


async def test_catching_up_another_tenant_leaves_no_keys(
    file_url: str, folder: Path, keyrings: list[Keyring], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a restored store misses an act on a tenant whose data store cannot be made, the keys of both are wiped."""
    await _write(file_url, "alice")
    async with SecureMemory.open(file_url, table_name="other") as memory:
        await memory.session("s", user_id="bob").add("user", "of bob")
    shutil.copy(folder / "store.db", folder / "backup")
    async with SecureMemory.open(file_url, table_name="other") as memory:
        await memory.erase_user("bob")
    shutil.copy(folder / "backup", folder / "store.db")
    keyrings.clear()

    def make(settings: Settings, space: str, *others: Any) -> Backend:
        if space == "other":
            raise ConfigurationError("there is no such thing here")
        return make_data(settings, space, *others)

    monkeypatch.setattr(compose, "make_data", make)
    with pytest.raises(ConfigurationError, match="no such thing"):
        await _read(file_url, "alice")
    assert len(keyrings) == 2
    for keyring in keyrings:
        with pytest.raises(ValueError, match="wiped"):
            keyring.keyed_hash(b"")


@pytest.mark.parametrize("name", ["1a", "a b", 'a"; DROP TABLE messages; --', "sqlite_x", "securemem_x", "ä", "x" * 64])
async def test_a_table_name_is_a_plain_identifier(file_url: str, folder: Path, name: str) -> None:
    """Anything else is refused before a file is made."""
    with pytest.raises(ConfigurationError, match="table_name"):
        await _read(file_url, "alice", table_name=name)
    assert list(folder.iterdir()) == []


async def test_a_passphrase(file_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The right one opens, a wrong one is a WrongKeyError and none a ConfigurationError, and neither changes a file."""
    monkeypatch.setattr("securemem.kms.passphrase.PassphraseKms.__init__.__kwdefaults__", {"cost": 2**10})
    kms = f"passphrase:///{folder}/sealed.kek"
    monkeypatch.setenv("SECUREMEM_PASSPHRASE", "correct horse")
    await _write(file_url, "alice", kms=kms)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setenv("SECUREMEM_PASSPHRASE", "battery staple")
    with pytest.raises(WrongKeyError, match="passphrase"):
        await _read(file_url, "alice", kms=kms)
    monkeypatch.delenv("SECUREMEM_PASSPHRASE")
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(ConfigurationError, match="SECUREMEM_PASSPHRASE"):
        await _read(file_url, "alice", kms=kms)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    monkeypatch.setenv("SECUREMEM_PASSPHRASE", "correct horse")
    assert await _read(file_url, "alice", kms=kms) == ["of alice"]


async def test_compressed_and_plain_stores_read_each_other(file_url: str) -> None:
    """`compress` is a matter of writing: both kinds are read either way, and compressing makes the file smaller."""
    text = "a very repetitive text, " * 400
    sizes = []
    for compress in (True, False):
        async with SecureMemory.open(file_url, compress=compress) as memory:
            chat = memory.session("s")
            await chat.add("user", text)
            await chat.add("user", "short")
            deployment = await memory.host.ready()
            keys = await deployment.keyring.find("s", "s")
            assert keys is not None
            sizes.append(max(len(row) for _, row in (await deployment.backend.tail(keys.handle, 2)).rows))
    for compress in (True, False):
        assert await _read(file_url, "s", compress=compress) == [text, "short", text, "short"]
    assert sizes[0] * 10 < sizes[1]


async def test_a_store_opens_on_first_use(file_url: str) -> None:
    """Without `async with` the first call opens it, or ten at once; it may be closed twice, and is then of no use."""
    memory = SecureMemory.open(file_url)
    chat = memory.session("s")
    await asyncio.gather(*(chat.add("user", str(number)) for number in range(10)))
    assert len(await chat.history()) == 10
    await memory.close()
    await memory.close()
    for use in (chat.history(), chat.add("user", "x"), memory.erase_user("s"), memory.session("t").history()):
        with pytest.raises(ConfigurationError, match="closed"):
            await use


def test_one_event_loop(file_url: str) -> None:
    """A store that was used in one event loop says so in another."""
    memory = SecureMemory.open(file_url)
    chat = memory.session("s")

    async def use() -> None:
        await chat.add("user", "x")

    with asyncio.Runner() as first:
        first.run(use())
        with pytest.raises(ConfigurationError, match="event loop"), asyncio.Runner() as second:
            second.run(use())
        first.run(memory.close())


async def test_another_process_or_a_pickle(memory: SecureMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use after a fork of the process, and pickling, are clear errors."""
    chat = memory.session("s")
    await chat.add("user", "x")
    for thing in (memory, chat):
        with pytest.raises(ConfigurationError, match="pickled"):
            pickle.dumps(thing)
    pid = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid + 1)
        for use in (chat.history(), memory.session("t").add("user", "x")):
            with pytest.raises(ConfigurationError, match="fork"):
                await use
    assert len(await chat.history()) == 1


UNCLOSED = """
import asyncio, sys
from securemem import SecureMemory
async def main():
    memory = SecureMemory.open(sys.argv[1])
    await memory.session("s").add("user", "x")
asyncio.run(main())
"""


async def test_an_unclosed_store_neither_hangs_nor_loses(file_url: str) -> None:
    """A process that forgets to close ends by itself, and what it added is there."""
    command = [sys.executable, "-W", "ignore", "-c", UNCLOSED, file_url]
    assert subprocess.run(command, timeout=60, check=True, capture_output=True).stdout == b""
    assert await _read(file_url, "s") == ["x"]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"max_messages": 0}, InvalidInputError),
        ({"max_messages": 2.5}, InvalidInputError),
        ({"context_window": -1}, InvalidInputError),
        ({"ttl": 0}, InvalidInputError),
        ({"ttl": float("nan")}, InvalidInputError),
        ({"ttl": float("inf")}, InvalidInputError),
        ({"ttl": "60"}, InvalidInputError),
        ({"tenant": ""}, InvalidInputError),
        ({"tenant": "x" * 1025}, InvalidInputError),
        ({"tokenizer": "words"}, ConfigurationError),
        ({"policy": "gdpr-nonsense"}, ConfigurationError),
        ({"client": "no client"}, ConfigurationError),
        *(({name: 5}, ConfigurationError) for name in ("keystore", "ledger", "kms", "table_name", "replica", "prefix")),
        ({"policy": 5}, ConfigurationError),
        ({"audit_sink": ["file:///x"]}, ConfigurationError),
        ({"tenant": 5}, InvalidInputError),
        ({"max_messages": "x"}, InvalidInputError),
        ({"backup_days": "x"}, InvalidInputError),
        pytest.param({"clock": datetime.now}, ConfigurationError, id="a clock without a zone"),
        ({"clock": datetime(2026, 3, 2, tzinfo=UTC)}, ConfigurationError),
        ({"keystore": "mysql://x"}, ConfigurationError),
        ({"kms": "nonsense://x"}, ConfigurationError),
    ],
    ids=repr,
)
async def test_settings_that_do_not_fit(
    file_url: str, folder: Path, settings: dict[str, Any], error: type[SecureMemError]
) -> None:
    """Each is an error of its kind, and no file is made."""
    with pytest.raises(error):
        await _write(file_url, "alice", **settings)
    assert list(folder.iterdir()) == []


async def test_no_url_is_a_number(folder: Path) -> None:
    """A URL that is no text is an error of ours, and a clock that is aware is taken."""
    with pytest.raises(ConfigurationError, match="URL"):
        SecureMemory.open(5)  # type: ignore[arg-type]
    memory = SecureMemory.open(f"sqlite:///{folder}/data", clock=lambda: datetime.now(UTC))
    assert memory.host.clock().tzinfo is UTC


@pytest.mark.parametrize(
    ("line", "key"),
    [
        *((f"{name} = {value}", name) for name in ("keystore", "kms", "prefix", "audit_sink") for value in ("5", "[]")),
        ("url = 5", "url"),
        ("backup_days = 'x'", "backup_days"),
        ("memory_days = []", "memory_days"),
        ("backup_days = -1", "backup_days"),
        ("servers = 5", "servers"),
        ("tenant = []", "tenant"),
        ("colour = 'red'", "colour"),
    ],
)
async def test_the_settings_file_is_checked(file_url: str, folder: Path, line: str, key: str) -> None:
    """What is of a wrong type, or no setting, is named with its file; without that line the store opens."""
    (folder / "securemem.toml").write_text(line)
    with pytest.raises(ConfigurationError, match=rf"^securemem\.toml.*\b{key}\b"):
        await _write("" if key == "url" else file_url, "alice")
    assert [path.name for path in folder.iterdir()] == ["securemem.toml"]
    (folder / "securemem.toml").write_text(f"url = {file_url!r}\nbackup_days = 30")
    await _write("", "alice")


def test_the_documents_name_every_setting_that_variables_give() -> None:
    """docs/library.md names those options that the environment and the file give besides, and no other."""
    page = (Path(__file__).parents[1] / "docs" / "library.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith("Of these, variables")]
    assert set(re.findall("`([a-z_]+)`", line.partition(" as well")[0])) == config._NAMES


async def test_options_that_are_arguments_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A variable named after another option changes nothing of a store that is opened by the library."""
    for name, value in {"TTL": "1", "MAX_MESSAGES": "2", "TENANT": "acme"}.items():
        monkeypatch.setenv(f"SECUREMEM_{name}", value)
    url = f"sqlite:///{tmp_path}/store.db"
    async with SecureMemory.open(url) as memory:
        said = await memory.session("s").add_many([Message("user", str(number)) for number in range(5)])
        assert len(await memory.session("s").history()) == 5
        assert {message.expires_at for message in said} == {None}
    async with SecureMemory.open(url, tenant="default") as memory:
        assert len(await memory.session("s").history()) == 5
