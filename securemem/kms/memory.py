"""KEKs in memory only, for `memory://` stores and tests: nothing survives the object."""

from __future__ import annotations

from securemem.crypto.aead import Aead, InvalidTag
from securemem.crypto.pae import pae, u32
from securemem.crypto.secret import RawKey
from securemem.errors import WrongKeyError

_WRAP_LABEL = b"securemem/wrap/1"


class MemoryKms:
    """KEKs that live as long as this object.

    A box is an `aead` box under the KEK, with AAD = PAE("securemem/wrap/1", epoch u32, context).
    """

    def __init__(self) -> None:
        self._keks: dict[int, RawKey] = {}
        self._ciphers: dict[int, Aead] = {}

    async def open(self, deployment: bytes, *, create: bool) -> None:
        """As `ports.KeyManagementService`: there is nothing to get ready."""

    async def epochs(self) -> list[int]:
        """As `ports.KeyManagementService`."""
        return sorted(self._keks)

    async def create_epoch(self, epoch: int) -> None:
        """As `ports.KeyManagementService`."""
        self._keks.setdefault(epoch, RawKey.generate())

    async def wrap(self, epoch: int, key: RawKey, *, context: bytes) -> bytes:
        """As `ports.KeyManagementService`."""
        return self._aead(epoch).seal(key.expose_secret(), associated_data=pae(_WRAP_LABEL, u32(epoch), context))

    async def unwrap(self, epoch: int, box: bytes, *, context: bytes) -> RawKey:
        """As `ports.KeyManagementService`."""
        try:
            return RawKey(self._aead(epoch).open(box, associated_data=pae(_WRAP_LABEL, u32(epoch), context)))
        except (InvalidTag, ValueError) as exc:
            raise WrongKeyError(f"the KEK of epoch {epoch} is not the one that this store was made with") from exc

    async def destroy_epoch(self, epoch: int) -> None:
        """As `ports.KeyManagementService`."""
        self._let_go(epoch)

    async def aclose(self) -> None:
        """Keep the KEKs: they are nowhere else."""

    def _aead(self, epoch: int) -> Aead:
        cipher = self._ciphers.get(epoch)
        if cipher is None:
            kek = self._keks.get(epoch)
            if kek is None:
                raise WrongKeyError(
                    f"there is no KEK of epoch {epoch}: it was destroyed, or the KEK file is an older one"
                )
            cipher = self._ciphers[epoch] = Aead(kek)
        return cipher

    def _let_go(self, epoch: int) -> None:
        """Wipe a KEK in memory; its cipher is freed with it."""
        self._ciphers.pop(epoch, None)
        kek = self._keks.pop(epoch, None)
        if kek is not None:
            kek.wipe()
