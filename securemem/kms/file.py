"""KEKs in a file of mode 0600 on this machine (`file:///relative.kek`, `file:////absolute.kek`).

The file is JSON:

    {"securemem_kek": 1, "deployment": "<hex>", "kdf": null, "epochs": {"1": "<hex of 32 bytes>", …}}

It is replaced as a whole: written beside, flushed to the disk, renamed over, under a lock between processes. What the
file system and its snapshots keep of an older copy is beyond this process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError
from securemem.kms.memory import MemoryKms
from securemem.newfile import open_new

_FORMAT = 1
_MAX_FILE_BYTES = 1024 * 1024


class FileKms(MemoryKms):
    """KEKs in a file of mode 0600."""

    def __init__(self, path: str | Path) -> None:
        """Name the file; nothing is read yet."""
        super().__init__()
        self.path = Path(path)
        self._name = str(path)
        self._deployment = b""
        self._loaded = (0, 0)

    async def open(self, deployment: bytes, *, create: bool) -> None:
        """As `ports.KeyManagementService`."""
        self._deployment = deployment
        if create:
            self._first_file()
        await self._load()

    async def create_epoch(self, epoch: int) -> None:
        """As `ports.KeyManagementService`."""
        with self._locked():
            await self._load()
            if epoch not in self._keks:
                await super().create_epoch(epoch)
                self._replace()

    async def destroy_epoch(self, epoch: int) -> None:
        """As `ports.KeyManagementService`."""
        with self._locked():
            await self._load()
            if epoch in self._keks:
                await super().destroy_epoch(epoch)
                self._replace()

    async def unwrap(self, epoch: int, box: bytes, *, context: bytes) -> RawKey:
        """As `ports.KeyManagementService`; an epoch that another process made is read from the file."""
        await self._know(epoch)
        return await super().unwrap(epoch, box, context=context)

    async def wrap(self, epoch: int, key: RawKey, *, context: bytes) -> bytes:
        """As `ports.KeyManagementService`; an epoch that another process made is read from the file."""
        await self._know(epoch)
        return await super().wrap(epoch, key, context=context)

    async def aclose(self) -> None:
        """Wipe the KEKs in memory."""
        for epoch in list(self._keks):
            self._let_go(epoch)

    async def epochs(self) -> list[int]:
        """As `ports.KeyManagementService`."""
        await self._load()
        return await super().epochs()

    async def _know(self, epoch: int) -> None:
        """Read the file if another process has replaced it since: an epoch may be new, or destroyed."""
        if epoch not in self._keks or self._state() != self._loaded:
            await self._load()

    def _state(self) -> tuple[int, int]:
        try:
            status = os.stat(self._name)  # noqa: PTH116  (a Path takes twice as long, for every key that is unwrapped)
        except OSError:
            return (0, 0)
        return status.st_ino, status.st_mtime_ns

    async def _load(self) -> None:
        state = self._state()
        document = self._read()
        await self._prepare(document)
        for name, value in document["epochs"].items():
            epoch = int(name)
            if epoch not in self._keks:
                self._keks[epoch] = self._from_file(epoch, bytes.fromhex(value))
        for epoch in self._keks.keys() - {int(name) for name in document["epochs"]}:
            self._let_go(epoch)
        self._loaded = state

    def _read(self) -> dict[str, Any]:
        """Read and check the file before a key in it is believed.

        One with no epoch is what is left of a beginning that was interrupted, or of one under way in another process:
        nothing was sealed under it, and it is anybody's.
        """
        try:
            status = self.path.stat()
            if status.st_mode & 0o077:
                raise ConfigurationError(f"{self.path} is open to others: chmod 600 it, and think of who read it")
            if status.st_size > _MAX_FILE_BYTES:
                raise ConfigurationError(f"{self.path} is no KEK file: it is too large")
            document = json.loads(self.path.read_bytes())
            if document["securemem_kek"] != _FORMAT:
                raise ConfigurationError(f"{self.path} was written by another version of SecureMem")
            owner = bytes.fromhex(document["deployment"])
            well_formed = all(bytes.fromhex(value) and int(name) > 0 for name, value in document["epochs"].items())
        except FileNotFoundError:
            raise ConfigurationError(
                f"the KEK file {self.path} is missing, and what is stored was sealed under it: restore it"
            ) from None
        except OSError as exc:
            raise ConfigurationError(f"the KEK file {self.path} cannot be read: {exc.strerror}") from exc
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise ConfigurationError(f"{self.path} is no KEK file, or is damaged: restore it") from exc
        if not well_formed or (document["epochs"] and owner != self._deployment):
            raise ConfigurationError(
                f"{self.path} belongs to deployment {owner.hex()}, not to {self._deployment.hex()}: "
                "name the KEK file that was made with this keystore"
            )
        return dict(document)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other processes from replacing the file; the lock is on the one that stands, not on one renamed away."""
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDONLY)
            except OSError as exc:
                raise ConfigurationError(f"the KEK file {self.path} cannot be read: {exc.strerror}") from exc
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if os.fstat(descriptor).st_ino == self.path.stat().st_ino:
                    yield
                    return
            finally:
                os.close(descriptor)

    def _first_file(self) -> None:
        """Create the file with no epoch in it; where one is there, it stands."""
        if self.path.exists():
            return
        temporary = self._write_beside({})
        try:
            os.link(temporary, self.path)
        except FileExistsError:
            return
        except OSError as exc:
            raise ConfigurationError(f"the KEK file {self.path} cannot be written: {exc.strerror}") from exc
        finally:
            temporary.unlink()
        self._flush_folder()

    def _replace(self) -> None:
        temporary = self._write_beside(self._keks)
        try:
            temporary.replace(self.path)
        except OSError as exc:
            temporary.unlink()
            raise ConfigurationError(f"the KEK file {self.path} cannot be replaced: {exc.strerror}") from exc
        self._flush_folder()

    def _write_beside(self, keks: dict[int, RawKey]) -> Path:
        document = {
            "securemem_kek": _FORMAT,
            "deployment": self._deployment.hex(),
            "kdf": self._kdf(),
            "epochs": {str(epoch): self._to_file(epoch, kek).hex() for epoch, kek in sorted(keks.items())},
        }
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        try:
            with open_new(temporary) as file:
                file.write(json.dumps(document, indent=1).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
            raise ConfigurationError(f"the KEK file {self.path} cannot be written: {exc.strerror}") from exc
        return temporary

    def _flush_folder(self) -> None:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _kdf(self) -> dict[str, Any] | None:
        """What the file says of how its KEKs are sealed: not at all."""
        return None

    async def _prepare(self, document: dict[str, Any]) -> None:
        """Get ready to take KEKs out of this file."""
        if document.get("kdf") is not None:
            raise ConfigurationError(f"{self.path} is sealed under a passphrase: open it as passphrase://")

    def _to_file(self, epoch: int, kek: RawKey) -> bytes:  # noqa: ARG002  (sealed ones need the epoch)
        return kek.expose_secret()

    def _from_file(self, epoch: int, value: bytes) -> RawKey:  # noqa: ARG002
        try:
            return RawKey(value)
        except ValueError:
            raise ConfigurationError(f"{self.path} is no KEK file, or is damaged: restore it") from None
