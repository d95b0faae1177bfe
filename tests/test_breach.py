"""Whom a leak touches and what it lets somebody read: by epoch, by each kind of file, and by what leaked together."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from securemem import InvalidInputError, Message, SecureMemory
from securemem.cli.app import app
from securemem.rights.breach import BreachScope

URL = "sqlite:///store.db"
FILES = {"data": "store.db", "keystore": "store.keys.db", "ledger": "store.ledger.db", "kek": "store.kek"}


def run(*arguments: str, url: str = URL) -> Result:
    """Run a command on the store in this folder."""
    return CliRunner().invoke(app, [*arguments], env={"SECUREMEM_URL": url, "COLUMNS": "120"})


@pytest.fixture
async def people(tmp_path: Path) -> dict[str, str]:
    """Leave a store in this folder: Alice and Bob under epoch 1, Carol a guest of Alice's; gives their handles."""
    async with SecureMemory.open(URL) as memory:
        alice = memory.session("s", user_id="alice")
        await alice.add("user", "Hi")
        await alice.add_many([Message("user", "Hi", user_id="carol")])
        await memory.session("s", user_id="bob").add("user", "Hi")
        await memory.restrict_user("bob")
        await memory.lift_restriction("bob")
        return {name: await _handle(memory, name) for name in ("alice", "bob", "carol")}


async def _handle(memory: SecureMemory, user: str) -> str:
    row = await (await memory.host.ready()).keyring.find_user(user)
    assert row is not None
    return row.handle.hex()


async def scope(*files: str | Path, epochs: tuple[int, ...] = ()) -> BreachScope:
    """Look at a leak of files of the store in this folder, as somebody with copies of them has them."""
    async with SecureMemory.open(URL) as memory:
        return await memory.audit.breach_scope(epochs=epochs, files=files)


async def test_an_epoch_touches_whose_keys_are_under_it(people: dict[str, str]) -> None:
    """All of them before a rotation; afterwards those who came since are counted apart, for keys are rewrapped."""
    found = await scope(epochs=(1,))
    assert (found.leaked, found.people, found.perhaps) == (("kek",), tuple(sorted(people.values())), 0)
    assert (found.named, found.readable) == ((), ())
    assert "only as far as you are sure" in found.article
    assert "close-epoch" in found.todo[0]
    async with SecureMemory.open(URL) as memory:
        await memory.keys.rotate()
    assert ((await scope(epochs=(1,))).people, (await scope(epochs=(1,))).perhaps) == ((), 3)
    assert set((await scope(epochs=(2,))).people) == set(people.values())
    async with SecureMemory.open(URL) as memory:
        await memory.keys.close_epoch(without_backup=True)
    assert "keys rotate" not in (await scope(epochs=(1,))).todo[0], "it is destroyed already"


@pytest.mark.parametrize("what", FILES)
async def test_a_file_alone_reads_nothing(people: dict[str, str], what: str, tmp_path: Path) -> None:
    """It is known for what it is, by its content and not its name; nobody's message or id can be read by it."""
    copy = tmp_path / "found-on-the-street"
    shutil.copy(FILES[what], copy)
    before = sorted(tmp_path.iterdir())
    found = await scope(copy)
    assert sorted(tmp_path.iterdir()) == before, "looking leaves nothing beside the file"
    touched = {"data": set(people), "keystore": set(people), "ledger": {"bob"}, "kek": set(people)}[what]
    assert (found.leaked, set(found.people)) == ((what,), {people[name] for name in touched})
    assert (found.named, found.readable, found.sessions) == ((), (), 2 if what == "data" else 0)
    assert "34(3)(a)" in found.article
    assert found.todo


async def test_what_opens_itself_is_said_to(people: dict[str, str]) -> None:
    """Keystore and KEK open ids, with the data messages too; without the KEK nothing opens, which is the control."""
    everybody = tuple(sorted(people.values()))
    closed = await scope(FILES["data"], FILES["keystore"])
    assert (closed.named, closed.readable) == ((), ())
    assert "unintelligible" in closed.article
    names = await scope(FILES["keystore"], FILES["kek"])
    assert (names.named, names.readable) == (everybody, ())
    assert "does not relieve" in names.article
    for opened in (
        await scope(FILES["data"], FILES["keystore"], FILES["kek"]),
        await scope(FILES["data"], FILES["keystore"], epochs=(1,)),
    ):
        assert (opened.named, opened.readable, opened.sessions) == (everybody, everybody, 2)
        assert "does not relieve" in opened.article


async def test_a_keystores_backup_is_one(people: dict[str, str], tmp_path: Path) -> None:
    """And opens under the KEK of its own epoch, not under an older one."""
    async with SecureMemory.open(URL) as memory:
        await memory.keys.close_epoch(backup=tmp_path / "backup.db")
    assert (await scope(tmp_path / "backup.db")).leaked == ("keystore",)
    assert (await scope(tmp_path / "backup.db", epochs=(1,))).named == ()
    assert len((await scope(tmp_path / "backup.db", epochs=(2,))).named) == 3


async def test_sealed_backups_open_with_what_they_are_sealed_under(people: dict[str, str], tmp_path: Path) -> None:
    """A keystore's with the KEK of its epoch, the data's with the keystore besides; each alone does not."""
    stores = {store: tmp_path / f"{store}.backup" for store in ("data", "keystore", "ledger")}
    async with SecureMemory.open(URL) as memory:
        for store, path in stores.items():
            await memory.backup(path, store=store)
        await memory.keys.rotate()
    everybody = tuple(sorted(people.values()))
    for store, path in stores.items():
        found = await scope(path)
        assert (found.leaked, found.people) == (("backup",), () if store == "ledger" else everybody)
        assert (found.named, found.readable) == ((), ())
    assert (await scope(stores["keystore"], stores["data"])).named == ()
    assert (await scope(stores["keystore"], epochs=(2,))).named == ()
    opened = await scope(stores["keystore"], epochs=(1,))
    assert (opened.named, opened.readable) == (everybody, ())
    for data in (stores["data"], FILES["data"]):
        assert (await scope(stores["keystore"], data, epochs=(1,))).readable == everybody
    cut = tmp_path / "cut.backup"
    cut.write_bytes(stores["data"].read_bytes()[:40])
    with pytest.raises(InvalidInputError, match="damaged"):
        await scope(cut)


async def test_who_was_erased_is_not_readable(people: dict[str, str]) -> None:
    """Of an erased person nothing is left in what leaks afterwards."""
    async with SecureMemory.open(URL) as memory:
        await memory.erase_user("bob")
    found = await scope(FILES["data"], FILES["keystore"], FILES["kek"])
    assert people["bob"] not in (*found.people, *found.named, *found.readable)
    assert people["alice"] in found.readable


async def test_a_kek_under_a_passphrase_is_told_from_one_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens nothing by itself."""
    monkeypatch.setenv("SECUREMEM_PASSPHRASE", "an example only")
    async with SecureMemory.open(URL, kms="passphrase:///store.kek") as memory:
        await memory.session("s", user_id="alice").add("user", "Hi")
        found = await memory.audit.breach_scope(files=["store.kek", "store.keys.db", "store.db"])
    assert (found.leaked, found.named) == (("sealed-kek", "keystore", "data"), ())
    assert any("passphrase" in each for each in found.todo)


async def test_what_is_none_of_ours_is_refused(people: dict[str, str], tmp_path: Path) -> None:
    """Nothing named; a file that is not there, damaged, or of something else or another store; and no such epoch."""
    noise, foreign, hostile, damaged = (tmp_path / name for name in ("noise", "foreign.db", "hostile.db", "damaged.db"))
    noise.write_bytes(b"\xff\x00{")
    damaged.write_bytes((tmp_path / "store.keys.db").read_bytes()[:5000])
    with closing(sqlite3.connect(foreign)) as con, con:
        con.execute("CREATE TABLE users (name TEXT)")
    shutil.copy("store.keys.db", hostile)
    with closing(sqlite3.connect(hostile)) as con, con:
        con.execute("UPDATE users SET handle = 'alice' WHERE user = 1")
    async with SecureMemory.open("sqlite:///other.db") as memory:
        await memory.session("s").add("user", "Hi")
    for file in (noise, foreign, hostile, damaged, tmp_path / "gone", tmp_path, "other.db"):
        with pytest.raises(InvalidInputError):
            await scope(file)
    with pytest.raises(InvalidInputError, match="never was an epoch 9"):
        await scope(epochs=(9,))
    with pytest.raises(InvalidInputError, match="name what leaked"):
        await scope()


def test_the_command_says_so(people: dict[str, str]) -> None:
    """For people and for machines; by handles, and with nobody's id; 2 where it is used wrongly."""
    done = run("breach-scope", "--file", "store.db", "--file", "store.keys.db", "--epoch", "1", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert (done.exit_code, found["leaked"], len(found["readable"])) == (0, ["data", "keystore", "kek"], 3)
    said = run("breach-scope", "--epoch", "1").stdout
    assert all(handle in said for handle in people.values())
    assert not any(name in done.stdout + said for name in people)
    assert run("breach-scope").exit_code == 2
    assert run("breach-scope", "--epoch", "9").exit_code == 2
    assert run("breach-scope", "--file", "gone.db").exit_code == 2
