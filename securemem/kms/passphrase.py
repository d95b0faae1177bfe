"""KEKs in a file, sealed under a passphrase (`passphrase:///path.kek`, with SECUREMEM_PASSPHRASE or a prompt).

The file is that of `kms.file`, with "kdf": {"name": "scrypt", "salt": "<hex>", "n": …, "r": …, "p": …}; an epoch's
value is a box (see `crypto.aead`) under the key that scrypt makes of the passphrase, with AAD =
PAE("securemem/kek/1", deployment, epoch u32).
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

from securemem.crypto.aead import Aead, InvalidTag
from securemem.crypto.kdf import scrypt
from securemem.crypto.pae import pae, u32
from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError, WrongKeyError
from securemem.kms.file import FileKms

_KEK_LABEL = b"securemem/kek/1"
SCRYPT_N = 2**17
SCRYPT_R = 8
SCRYPT_P = 1
MAX_N, MAX_R, MAX_P = 2**20, 16, 4


class PassphraseKms(FileKms):
    """KEKs in a file, sealed under a passphrase that is asked for once."""

    def __init__(self, path: str | Path, passphrase: str, *, cost: int = SCRYPT_N) -> None:
        """Name the file.

        Args:
            path: the file.
            passphrase: kept as long as this object, for another process may make the file anew.
            cost: scrypt's N for a file that is made now, a power of two; 2**17 takes 128 MiB (OWASP, 2023).
        """
        super().__init__(path)
        if not passphrase:
            raise ConfigurationError("the passphrase is empty: set SECUREMEM_PASSPHRASE or type one")
        self._passphrase = os.fsencode(passphrase)
        self._parameters: dict[str, Any] = {
            "name": "scrypt",
            "salt": secrets.token_hex(16),
            "n": cost,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
        }
        self._sealing: Aead | None = None

    def _kdf(self) -> dict[str, Any]:
        return self._parameters

    async def _prepare(self, document: dict[str, Any]) -> None:
        parameters = document.get("kdf")
        if parameters is None:
            raise ConfigurationError(f"{self.path} is not sealed under a passphrase: open it as file://")
        if self._sealing is not None and parameters == self._parameters:
            return
        try:
            salt, n, r, p = bytes.fromhex(parameters["salt"]), parameters["n"], parameters["r"], parameters["p"]
            sane = parameters["name"] == "scrypt" and 1 < n <= MAX_N and 1 <= r <= MAX_R and 1 <= p <= MAX_P
            sane = sane and all(type(number) is int for number in (n, r, p))
        except (KeyError, TypeError, ValueError):
            sane = False
        if not sane:
            raise ConfigurationError(f"{self.path} names a key derivation that this version does not know")
        self._sealing = Aead(RawKey(await asyncio.to_thread(scrypt, self._passphrase, salt=salt, n=n, r=r, p=p)))
        self._parameters = parameters

    def _place(self, epoch: int) -> bytes:
        return pae(_KEK_LABEL, self._deployment, u32(epoch))

    def _to_file(self, epoch: int, kek: RawKey) -> bytes:
        if self._sealing is None:
            raise ConfigurationError("the KEK file was not opened yet")
        return self._sealing.seal(kek.expose_secret(), associated_data=self._place(epoch))

    def _from_file(self, epoch: int, value: bytes) -> RawKey:
        if self._sealing is None:
            raise ConfigurationError("the KEK file was not opened yet")
        try:
            return RawKey(self._sealing.open(value, associated_data=self._place(epoch)))
        except (InvalidTag, ValueError):
            raise WrongKeyError(f"the passphrase of {self.path} is wrong, or the file was changed") from None
