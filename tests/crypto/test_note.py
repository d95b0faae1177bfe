"""Signed notes are those of others (C2SP), and what was not signed is no checkpoint."""

from __future__ import annotations

import base64

import pytest

from securemem.crypto.note import Checkpoint, check, notes_in, open_checkpoint, sign
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer
from securemem.errors import IntegrityError

ORIGIN = "securemem/00/01"
PUBLISHED_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
PUBLISHED_NOTE = (
    "This is an example message.\n\n\u2014 example.com/foo "
    "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
SIGNER = Signer(RawKey(bytes(range(32))))
CHECKPOINT = Checkpoint(ORIGIN, 57, bytes(range(32)))
FROZEN = (
    "securemem/00/01\n57\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\n\u2014 securemem/00/01 "
    "ouCrqeKC/Z/XKxf3qwbwO7Samcs+7aDBKOoDXLPI1a2xH9M5doTKXrXOONBFLpq+iDQfoD3Mf0h5ssbuDTTtvMRqBwI=\n"
)


def test_a_published_note_holds() -> None:
    """The example of the specification is signed by its key, and with a letter changed it is not."""
    name, _, encoded = PUBLISHED_KEY.split("+")
    key = base64.b64decode(encoded)
    text = "This is an example message.\n"
    check(PUBLISHED_NOTE, text, name, key[1:])
    with pytest.raises(IntegrityError):
        check(PUBLISHED_NOTE.replace("This", "That"), text.replace("This", "That"), name, key[1:])


def test_a_checkpoint_is_made_byte_for_byte() -> None:
    """Ed25519 gives one signature for one text, so that a checkpoint has one form; and it is read back."""
    assert sign(SIGNER, CHECKPOINT) == FROZEN
    assert open_checkpoint(FROZEN, ORIGIN, SIGNER.public_key) == CHECKPOINT


def test_no_letter_of_a_note_can_be_another() -> None:
    """Whichever byte is changed, cut off or added, the note is refused."""
    raw = FROZEN.encode()
    changed = [raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :] for place in range(len(raw))]
    cut = [raw[:place] for place in range(len(raw))]
    for note in (*changed, *cut, raw + b"x", b"\n" + raw, raw * 2):
        with pytest.raises(IntegrityError):
            open_checkpoint(note.decode(errors="replace"), ORIGIN, SIGNER.public_key)


def test_another_log_and_another_key_are_refused() -> None:
    """A note is its own log's, by its own key."""
    with pytest.raises(IntegrityError, match="no checkpoint of this audit"):
        open_checkpoint(FROZEN, "securemem/00/02", SIGNER.public_key)
    with pytest.raises(IntegrityError, match="not signed by this key"):
        open_checkpoint(FROZEN, ORIGIN, Signer(RawKey(bytes(32))).public_key)


def test_signatures_of_witnesses_are_let_be() -> None:
    """Others may sign as well, before and after."""
    text, _, ours = FROZEN.partition("\n\n")
    witness = PUBLISHED_NOTE.partition("\n\n")[2]
    for note in (f"{text}\n\n{witness}{ours}", f"{text}\n\n{ours}{witness}"):
        assert open_checkpoint(note, ORIGIN, SIGNER.public_key) == CHECKPOINT


def test_notes_are_found_among_others() -> None:
    """In a file of many those of one log are found, whatever else is in it."""
    other = sign(SIGNER, CHECKPOINT._replace(origin="securemem/00/02"))
    text = f"{FROZEN}\n{other}\nwhat nobody signed\n\n{FROZEN}\n"
    assert notes_in(text, ORIGIN) == [FROZEN, FROZEN]
    assert notes_in("", ORIGIN) == []
