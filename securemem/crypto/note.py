"""Checkpoints of a log as signed notes (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), by Ed25519.

    origin
    size, in decimal
    base64 of the tree's head
                                                        (an empty line)
    — origin base64(key id 4 ‖ signature 64)            (one line a signature; the dash is U+2014)

key id = the first 4 bytes of SHA-256(origin ‖ 0x0A ‖ 0x01 ‖ public key). The signature covers the text before the empty
line, its last new line included. Lines of other keys (witnesses) are let be. In a file every note is followed by an
empty line.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import NamedTuple

from securemem.crypto.merkle import HASH_BYTES
from securemem.crypto.signing import Signer, verify
from securemem.errors import IntegrityError

_ED25519 = b"\x01"
_ID_BYTES = 4
_MOST_BYTES = 64 * 1024
_NOTE = re.compile(
    r"^(?P<text>(?P<origin>[^\s+]+)\n(?P<size>0|[1-9][0-9]{0,18})\n\S{44}\n)\n(?:\u2014 \S+ \S+\n)+", re.MULTILINE
)


class Checkpoint(NamedTuple):
    """How large a log was, and the head of the tree over it.

    Attributes:
        origin: which log it is, and the name of the key that signs for it; no space or plus in it.
        size: how many entries it had.
        root: the tree's head.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Give what is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign(signer: Signer, checkpoint: Checkpoint) -> str:
    """Give a checkpoint as a signed note."""
    text = checkpoint.text()
    mark = _key_id(checkpoint.origin, signer.public_key) + signer.sign(text.encode())
    return f"{text}\n\u2014 {checkpoint.origin} {base64.b64encode(mark).decode()}\n"


def check(note: str, text: str, name: str, public_key: bytes) -> None:
    """Check that a note, whose text is this, was signed by a key.

    Raises:
        IntegrityError: no signature of the key is there, or it does not hold.
    """
    wanted = _key_id(name, public_key)
    for line in note[len(text) + 1 :].splitlines():
        signer, _, mark = line.removeprefix("\u2014 ").partition(" ")
        try:
            raw = base64.b64decode(mark, validate=True)
        except (ValueError, binascii.Error) as exc:
            raise IntegrityError("a signature of the note is no base64") from exc
        if signer == name and raw[:_ID_BYTES] == wanted:
            verify(public_key, raw[_ID_BYTES:], text.encode())
            return
    raise IntegrityError("the note is not signed by this key")


def open_checkpoint(note: str, origin: str, public_key: bytes) -> Checkpoint:
    """Give the checkpoint in a note, once its signature is found to hold.

    Raises:
        IntegrityError: it is none of this log's, or was not signed by its key.
    """
    found = _NOTE.fullmatch(note) if len(note) <= _MOST_BYTES else None
    if found is None or found["origin"] != origin:
        raise IntegrityError("this is no checkpoint of this audit")
    check(note, found["text"], origin, public_key)
    try:
        root = base64.b64decode(found["text"].splitlines()[2], validate=True)
    except (ValueError, binascii.Error):
        root = b""
    if len(root) != HASH_BYTES:
        raise IntegrityError("the checkpoint's head is no hash")
    return Checkpoint(origin, int(found["size"]), root)


def notes_in(text: str, origin: str) -> list[str]:
    """Give the notes of a log in a file of many, as they come; what was cut off by a crash is none."""
    return [found[0] for found in _NOTE.finditer(text) if found["origin"] == origin]


def _key_id(name: str, public_key: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public_key).digest()[:_ID_BYTES]
