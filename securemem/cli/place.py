"""Where the store is that a command works on: the options that name it, its files, and its opening."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from securemem.errors import ConfigurationError

if TYPE_CHECKING:
    from securemem.config import Settings
    from securemem.memory import SecureMemory
    from securemem.policy import Policy

_SQLITE = b"SQLite format 3\0"

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", envvar="SECUREMEM_URL", help="The data, such as sqlite:///conversations.db."),
]
KeystoreUrl = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        envvar="SECUREMEM_KEYSTORE",
        help="Wrapped keys; else beside the data, or in SECUREMEM_HOME for a server's.",
    ),
]
LedgerUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", envvar="SECUREMEM_LEDGER", help="What was decided; else as the keystore."),
]
KmsUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", envvar="SECUREMEM_KMS", help="What the keys are wrapped under; else as the keystore."),
]
PolicyName = Annotated[
    str | None,
    typer.Option("--policy", metavar="NAME|FILE", envvar="SECUREMEM_POLICY", help="By what; `default` if not given."),
]
Actor = Annotated[
    str | None,
    typer.Option(metavar="NAME", envvar="SECUREMEM_ACTOR", help="Who says so, for policy and audit."),
]
Tenant = Annotated[
    str, typer.Option(metavar="NAME", envvar="SECUREMEM_TENANT", help="Whose sessions: the organisation.")
]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a store; None for what is not a file.

    Attributes:
        data: sealed messages.
        keystore: wrapped keys.
        ledger: what was decided: who was forgotten and when.
        kek: the key that the keystore's keys are wrapped under.
    """

    data: Path | None
    keystore: Path | None
    ledger: Path | None
    kek: Path | None

    @property
    def databases(self) -> dict[str, Path]:
        """The three stores that are SQLite files, by name."""
        named = {"data": self.data, "keystore": self.keystore, "ledger": self.ledger}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def all(self) -> dict[str, Path]:
        """The three stores and the KEK, by name, where they are files."""
        return self.databases | ({"kek": self.kek} if self.kek is not None else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The store that the options name."""

    url: str | None
    keystore: str | None
    ledger: str | None
    kms: str | None
    tenant: str

    def settings(self) -> Settings:
        """Give the options together with what the environment and `securemem.toml` say.

        Raises:
            ConfigurationError: no store is named, or one that is gone when the command ends.
        """
        from securemem import config  # noqa: PLC0415

        settings = config.resolve(self.url, keystore=self.keystore, ledger=self.ledger, kms=self.kms, table_name=None)
        if "memory://" in (settings.url, settings.keystore, settings.ledger, settings.kms):
            raise ConfigurationError(
                "memory:// is gone when the command ends: name a store in a file, sqlite:///file.db"
            )
        return settings

    def files(self) -> Files:
        """Give the files of the store, of which some or all may be on servers."""
        from securemem.config import file_of  # noqa: PLC0415
        from securemem.places import beside  # noqa: PLC0415

        settings = self.settings()

        def file(url: str | None, ending: str, *schemes: str) -> Path | None:
            scheme = next((scheme for scheme in schemes if (url or "").startswith(f"{scheme}://")), None)
            if url is None:
                return beside(settings, ending)
            return file_of(url, scheme) if scheme else None

        return Files(
            file(settings.url, "", "sqlite"),
            file(settings.keystore, ".keys.db", "sqlite"),
            file(settings.ledger, ".ledger.db", "sqlite"),
            file(settings.kms, ".kek", "file", "passphrase"),
        )

    def open(self, *, create: bool = True, policy: str | Policy | None = None) -> SecureMemory:
        """Give the store, made where there is none; by `SECUREMEM_POLICY`, or `default`, if no policy is named."""
        from securemem.memory import SecureMemory  # noqa: PLC0415

        self.settings()
        return SecureMemory.open(
            self.url,
            keystore=self.keystore,
            ledger=self.ledger,
            kms=self.kms,
            tenant=self.tenant,
            create=create,
            policy=policy,
        )

    def for_retention(self, policy: str | None) -> SecureMemory:
        """Give the store, which has to be there, to whoever writes nothing into it: no engine of the policy is opened.

        Raises:
            ConfigurationError: it is not there, or there is no such policy.
            PolicyError: the policy is wrong.
        """
        from dataclasses import replace  # noqa: PLC0415

        from securemem import policy as policies  # noqa: PLC0415

        return self.existing(policy=replace(policies.resolve(policy), pii=None))

    def existing(self, *, policy: str | Policy | None = None) -> SecureMemory:
        """Give the store, which has to be there.

        Raises:
            ConfigurationError: it is not; nothing was created.
        """
        self.check_exists()
        return self.open(create=False, policy=policy)

    def check_exists(self) -> None:
        """Refuse a store that is not there, or of which a part is missing, as far as files tell.

        Raises:
            ConfigurationError: what is missing, and what to do.
        """
        files = self.files()
        if files.data is not None:
            if not files.data.is_dir() and not _holds_something(files.data):
                raise ConfigurationError(
                    f"there is no store at {files.data}: `securemem init` makes one, or the URL names another place"
                )
            if not _is_sqlite(files.data):
                raise ConfigurationError(f"{files.data} is not a SecureMem store: name the right file")
        missing = {name: path for name, path in files.databases.items() if not _holds_something(path)}
        if len(missing) == len(files.databases):
            return  # whether there is a store at all, its servers say
        for name, path in missing.items():
            raise ConfigurationError(f"the {name} {path} is missing: name the right one, or restore it")


def _holds_something(path: Path) -> bool:
    """Tell whether a database is there; one that no process has closed yet may lie in its write-ahead log alone."""
    return path.exists() and (path.stat().st_size > 0 or path.with_name(f"{path.name}-wal").exists())


def _is_sqlite(path: Path) -> bool:
    """Tell whether a file may be a SQLite database, by its first bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _SQLITE.startswith(file.read(len(_SQLITE)))
