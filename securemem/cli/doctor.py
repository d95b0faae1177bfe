"""`securemem doctor`: opens the store, looks at what it rests on, and says what is wrong.

A finding is "ok", "warning" (it works, and could hurt one day) or "wrong" (exit code 1).
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from securemem.cli.command import command
from securemem.cli.outcome import AnswerIsNo
from securemem.cli.output import Output, printable
from securemem.cli.place import Files, Place
from securemem.errors import SecureMemError

if TYPE_CHECKING:
    from securemem.keys.rotation import EpochStatus

OK, WARNING, WRONG = "ok", "warning", "wrong"
_LARGE_LOG = 64 * 1024 * 1024
_STYLES = {OK: "green", WARNING: "yellow", WRONG: "bold red"}


class Finding(NamedTuple):
    """What one look showed."""

    what: str
    state: str
    says: str


async def _doctor(place: Place, out: Output) -> None:
    """Check a store and what it rests on.

    Exits with 1 if something is wrong; warnings are for you to judge.
    """
    place.check_exists()
    with out.working("Looking"):
        findings = [finding async for finding in _findings(place)]
    wrong = [finding for finding in findings if finding.state == WRONG]
    document = {
        "ok": not wrong,
        "findings": [{"what": each.what, "state": each.state, "says": each.says} for each in findings],
    }
    out.answer(document, _table(findings))
    if wrong:
        raise AnswerIsNo(f"{len(wrong)} of {len(findings)} checks failed: {', '.join(each.what for each in wrong)}")


async def _findings(place: Place) -> AsyncIterator[Finding]:
    for finding in _versions():
        yield finding
    files = place.files()
    if files.kek is not None and (files.data is not None or files.kek.exists()):
        yield _kek(files.kek)
    epochs: list[EpochStatus] = []
    try:
        async with place.existing() as memory:
            epochs = await memory.keys.status()
            for caveat in await memory.caveats():
                yield Finding("caveat", WARNING, caveat)
            yield Finding("opening", OK, "the stores belong together, and the KEK opens the keystore")
    except SecureMemError as exc:
        yield Finding("opening", WRONG, str(exc))
    for finding in _epochs(epochs):
        yield finding
    for finding in _embedded(files):
        yield finding


def _versions() -> Iterator[Finding]:
    """Say what runs here."""
    yield Finding("securemem", OK, version("securemem"))
    yield Finding("python", OK, f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("cryptography", OK, version("cryptography"))
    with closing(sqlite3.connect(":memory:")) as con:
        taken = con.execute("PRAGMA secure_delete = ON").fetchone()[0] == 1
    says = f"{sqlite3.sqlite_version}, " + ("takes" if taken else "refuses") + " secure_delete"
    yield Finding("sqlite", OK if taken else WRONG, says if taken else f"{says}: use another build of SQLite")


def _kek(path: Path) -> Finding:
    """Look at who may read the KEK."""
    try:
        status = path.stat()
    except OSError as exc:
        return Finding("kek", WRONG, f"{path}: {exc.strerror}; restore it, for without it nothing can be read")
    mode = f"{status.st_mode & 0o777:04o}"
    if status.st_mode & 0o077:
        return Finding("kek", WRONG, f"mode {mode}: open to others; chmod 600 {path}, and think of who read it")
    if status.st_uid != os.geteuid():
        return Finding("kek", WARNING, f"mode {mode}, and it belongs to another account than this one")
    return Finding("kek", OK, f"mode {mode}, and it belongs to this account")


def _epochs(epochs: list[EpochStatus]) -> Iterator[Finding]:
    """Look for a rotation that stopped half way, and for older epochs that still open old backups."""
    for epoch in epochs:
        name, people = f"epoch {epoch.epoch}", f"{epoch.users} {'person' if epoch.users == 1 else 'people'}"
        if epoch.state == "open":
            says = f"open, {people}" if epoch.kek else "open, and the KMS has lost its KEK: restore it"
            yield Finding(name, OK if epoch.kek else WRONG, says)
        elif epoch.state == "destroyed":
            says = "destroyed, and so is its KEK" if not epoch.kek else "destroyed, and the KMS still has its KEK"
            yield Finding(name, WRONG if epoch.kek else OK, says)
        elif epoch.state == "coming":
            yield Finding(name, WARNING, "a rotation stopped half way: `securemem keys rotate` ends it")
        elif epoch.users:
            yield Finding(name, WARNING, f"sealed, {people} not rewrapped yet: `securemem keys rotate` does it")
        else:
            yield Finding(name, WARNING, "sealed: old keystore backups open until `securemem keys close-epoch`")


def _embedded(files: Files) -> Iterator[Finding]:
    """Look at the files of a store; whether they fit what lies on a server, its opening has said."""
    for name, path in files.databases.items():
        try:
            yield _database(name, path)
        except (OSError, sqlite3.Error) as exc:
            yield Finding(name, WRONG, f"{path} cannot be read: {exc}")
    if files.data is not None:
        yield _stamps(files)
        yield _disks(files)


def _database(name: str, path: Path) -> Finding:
    """Look at one file: its log, its pages and its size."""
    with closing(_connect(path)) as con:
        mode = con.execute("PRAGMA journal_mode").fetchone()[0]
        damage = [] if name == "data" else [row[0] for row in con.execute("PRAGMA quick_check(1)") if row[0] != "ok"]
    log = path.with_name(f"{path.name}-wal")
    logged = log.stat().st_size if log.exists() else 0
    says = f"{size(path.stat().st_size)}, write-ahead log {size(logged)}"
    if damage:
        return Finding(name, WRONG, f"{says}: the file is damaged; restore it from its backup")
    if mode != "wal":
        return Finding(name, WRONG, f"{says}: journal mode is {mode}, not wal; was the file replaced?")
    if logged > _LARGE_LOG:
        return Finding(name, WARNING, f"{says}: a process keeps it from being cut, with what was deleted in it")
    return Finding(name, OK, says)


def _stamps(files: Files) -> Finding:
    """Hold the deployment and the counter that each store carries against each other."""
    found: dict[str, tuple[bytes, int]] = {}
    unfinished = 0
    for name, path in files.databases.items():
        try:
            with closing(_connect(path)) as con:
                if name == "ledger":
                    deployment = con.execute("SELECT deployment FROM securemem_stamp").fetchone()[0]
                    last, open_acts = con.execute(
                        "SELECT coalesce(max(counter), 0), coalesce(sum(done_at IS NULL), 0) FROM acts"
                    ).fetchone()
                    found[name], unfinished = (deployment, last), open_acts
                else:
                    found[name] = con.execute("SELECT deployment, counter FROM securemem_stamp").fetchone()
        except (sqlite3.Error, TypeError):
            return Finding("stamps", WRONG, f"the {name} carries none: it is not the store it should be")
    if len({deployment for deployment, _ in found.values()}) > 1:
        return Finding("stamps", WRONG, "the stores belong to different deployments: name those made together")
    counters = ", ".join(f"{name} {counter}" for name, (_, counter) in found.items())
    if len({counter for _, counter in found.values()}) > 1:
        return Finding("stamps", WRONG, f"the counters differ ({counters}): one of the stores is older")
    if unfinished:
        return Finding("stamps", WRONG, f"{unfinished} acts in the ledger were not carried through: open the store")
    return Finding("stamps", OK, f"one deployment, counters agree ({counters}), nothing left undone")


def _disks(files: Files) -> Finding:
    """Say which of the parts are lost, stolen or backed up together."""
    disks: dict[int, list[str]] = {}
    for name, path in files.all.items():
        if path.exists():
            disks.setdefault(path.stat().st_dev, []).append(name)
    together = [names for names in disks.values() if "data" in names and {"keystore", "kek"} & set(names)]
    if together:
        says = f"{', '.join(together[0])} lie on one disk: whoever copies it has all; back them up apart"
        return Finding("placement", WARNING, says)
    return Finding("placement", OK, "neither keystore nor kek lies on the disk of the data")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)


def size(count: int) -> str:
    """Give a number of bytes in words."""
    for unit, of in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= of:
            return f"{count / of:.1f} {unit}"
    return f"{count} B"


def _table(findings: list[Finding]) -> object:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        state = Text(finding.state, style=_STYLES[finding.state])
        table.add_row(state, Text(finding.what, style="bold"), Text(printable(finding.says)))
    return table


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor")(_doctor)
