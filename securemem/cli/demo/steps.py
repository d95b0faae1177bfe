"""The steps of the demo. Each checks what it says before it says it; a check that fails ends the demo."""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from pathlib import Path

from securemem.cli.demo import files
from securemem.cli.demo.ground import Demo, check, readable, refused, whole
from securemem.cli.demo.story import NORA, TOMAS, words
from securemem.cli.demo.vault import opened_by_what_is_left
from securemem.cli.doctor import size
from securemem.cli.outcome import AnswerIsNo
from securemem.errors import CorruptRecordError, IntegrityError
from securemem.rights.receipt import verify_receipt

NEEDLES = [word.encode() for word in words(NORA, TOMAS)]
_FILES = {f"conversation{part}" for part in (".db", ".db-wal", ".db-shm", ".keys.db", ".ledger.db", ".kek")}
_PURGED = "SHREDDED"


async def write(demo: Demo) -> list[str]:
    """Write two conversations, and read them back from a store that was closed meanwhile."""
    for person in (NORA, TOMAS):
        async with demo.store() as memory:
            await memory.session(person.session_id, user_id=person.user_id).add_many(person.messages)
            demo.log = demo.data.with_name(f"{demo.data.name}-wal").stat().st_size
            check(
                demo.log and not files.found(demo.folder, NEEDLES), "a word that was said lies in a file of the store"
            )
        [handle] = files.sessions(demo.data).keys() - set(demo.handles.values())
        demo.handles[person], demo.numbers[person] = handle, files.sessions(demo.data)[handle]
        demo.before[person] = demo.rows(person)
        check(len(demo.before[person]) == len(person.said), "a message is not in the data file")
    await readable(demo)
    return [
        f"{len(person.said)} messages of {person.name}, made up for this, are written; the store was closed and "
        "opened anew, and they read back word for word."
        for person in (NORA, TOMAS)
    ] + [await _as_it_lies(demo)]


async def _as_it_lies(demo: Demo) -> str:
    """Put a message that is read beside what the file holds in its place."""
    async with demo.store() as memory:
        [message] = await memory.session(NORA.session_id, user_id=NORA.user_id).history(limit=1, before=6)
    check((message.role, message.content) == NORA.said[4], "a message does not read back")
    sealed = demo.rows(NORA)[5]
    content = demo.data.read_bytes()
    place = content.find(sealed)
    check(place >= 0, "a sealed record does not lie in the data file in one piece")
    return (
        f"Message {message.seq} reads: {message.content} In conversation.db it is {len(sealed)} bytes at {place:,}, "
        f"the last of them {content[place : place + len(sealed)][-24:].hex(' ')}."
    )


async def search(demo: Demo) -> list[str]:
    """Search the files for what was said, while the store is open and its logs are there."""
    async with demo.store() as memory:
        check(await whole(memory, NORA), "the conversation does not read back")
        names = {path.name for path in demo.folder.iterdir()}
        check(names >= _FILES, "a file of the store is not where it was looked for")
        total = sum(path.stat().st_size for path in demo.folder.iterdir())
        check(not files.found(demo.folder, NEEDLES), "a word that was said lies in a file of the store")
    said = _control(demo.folder)
    return [
        (
            f"The raw bytes of {len(names)} files, {size(total)}, hold none of {len(NEEDLES)} words, names, numbers "
            f"and ids of these conversations: {', '.join(sorted(names))}."
        ),
        f"Nor did they right after the writing, when {size(demo.log)} of it lay in conversation.db-wal.",
        f"Control: the same search of the same texts in an ordinary SQLite table finds all {said} that were said.",
    ]


def _control(folder: Path) -> int:
    """Check that the search finds what is there; give how many needles that were."""
    control = folder / "control.db"
    files.plain_table(control, [text for person in (NORA, TOMAS) for _, text in person.said])
    hits = files.found(folder, NEEDLES)
    control.unlink()
    ids = {name.encode() for person in (NORA, TOMAS) for name in (person.user_id, person.session_id)}
    said = [needle for needle in NEEDLES if needle not in ids]
    check(said and all(hits.get(needle) == [control.name] for needle in said), "the search misses words that are there")
    return len(said)


async def tamper(demo: Demo) -> list[str]:
    """Flip one bit of the data file, see the record named, and flip it back."""
    seq = 5
    place = files.flip(demo.data, demo.before[NORA][seq])
    changed = [number for number, body in demo.rows(NORA).items() if body != demo.before[NORA][number]]
    check(changed == [seq], "another record than the one meant was changed")
    error = await refused(demo, NORA)
    check(isinstance(error, CorruptRecordError) and error.seq == seq, "the error does not name the record")
    check(error.session == demo.handles[NORA].hex(), "the error does not name the session")
    files.flip_at(demo.data, place)
    await readable(demo)
    return [
        f"One bit of byte {place:,} of conversation.db flipped: that is inside Nora's record {seq}.",
        f"Reading it is refused, and Tomás still reads. {type(error).__name__}: {error}",
        "The bit flipped back: both conversations read word for word.",
    ]


async def paste(demo: Demo) -> list[str]:
    """Put a row of another person over one of hers, see it refused, and put hers back."""
    seq = 3
    files.overwrite(demo.data, demo.numbers[NORA], seq, demo.before[TOMAS][seq])
    check(demo.rows(NORA)[seq] == demo.before[TOMAS][seq], "the row was not pasted")
    error = await refused(demo, NORA)
    check((error.session, error.seq) == (demo.handles[NORA].hex(), seq), "the error does not name the record")
    files.overwrite(demo.data, demo.numbers[NORA], seq, demo.before[NORA][seq])
    await readable(demo)
    return [
        f"Tomás's sealed row {seq} pasted over Nora's row {seq} with a plain SQL UPDATE.",
        f"Reading it is refused. {type(error).__name__}: {error}",
        "Her own row put back: both conversations read word for word.",
    ]


async def erase(demo: Demo) -> list[str]:
    """Take a backup, forget Nora, and look for what is left of her in the files."""
    files.back_up(demo.data, demo.backup)
    people = files.people(demo.keystore)
    bodies = list(demo.before[NORA].values())
    there = files.found(demo.backup.parent, bodies)
    check(all(demo.backup.name in there.get(body, ()) for body in bodies), "the backup lacks a record")
    async with demo.store() as memory:
        demo.public_key = await memory.keys.public_key()
        demo.receipt = await memory.erase_user(NORA.user_id)
        check(not await memory.session(NORA.session_id, user_id=NORA.user_id).history(), "she can still be read")
        check(await whole(memory, TOMAS), "the other conversation was harmed")
        left = files.found(demo.folder, bodies)
    check(not demo.rows(NORA) and not left, "a row of hers is still in a file of the store")
    keys = [files.keys_of(demo.keystore, demo.handles[person]) for person in (NORA, TOMAS)]
    check(keys == [0, 1], "her session's key is still there, or the other one's is gone")
    check((people, files.people(demo.keystore)) == (2, 1), "not one person's key is gone from the keystore, but others")
    return [
        f"A backup of the data taken first: it holds all {len(bodies)} of Nora's sealed records.",
        (
            f"Nora erased: her {len(bodies)} records are in no file of the store, nor in its logs, and the keystore "
            "has no key of hers."
        ),
        "Tomás's key is there, and his conversation reads word for word.",
    ]


async def bring_back(demo: Demo) -> list[str]:
    """Restore the backup, try to read what came back, and see it destroyed again."""
    files.restore(demo.backup, demo.data)
    back = demo.rows(NORA)
    check(back == demo.before[NORA], "the backup did not bring the rows back")
    sealed = {demo.handles[person]: demo.rows(person) for person in (NORA, TOMAS)}
    opened = await opened_by_what_is_left(demo.folder, sealed)
    check(opened[demo.handles[TOMAS]] == len(TOMAS.said), "the try at opening records opens not even his")
    check(opened[demo.handles[NORA]] == 0, "a restored record of hers can be opened")
    async with demo.store() as memory:
        check(not await memory.session(NORA.session_id, user_id=NORA.user_id).history(), "she can be read again")
        check(not [info async for info in memory.sessions(user_id=NORA.user_id)], "she has a session again")
        check(await whole(memory, TOMAS), "the other conversation was harmed")
    check(files.tombstones(demo.ledger, demo.handles[NORA]), "the ledger has no tombstone of hers")
    left = len(demo.rows(NORA))
    check(left == 0, "the restored rows are still in the data file")
    check(not files.found(demo.folder, back.values()), "bytes of the restored rows are still in a file of the store")
    return [
        f"The backup put in the place of the data: Nora's {len(back)} rows lie in conversation.db again.",
        (
            f"Every session key that is left was tried on them: {opened[demo.handles[NORA]]} of {len(back)} open. "
            f"Control: the same try opens {opened[demo.handles[TOMAS]]} of {len(TOMAS.said)} of Tomás's."
        ),
        (
            "The store opened on the restored file gives nothing of Nora: its ledger holds her tombstone, and "
            f"{left} of her {len(back)} rows are in the file any more."
        ),
        "Tomás's conversation reads word for word.",
    ]


async def show_receipt(demo: Demo) -> list[str]:
    """Check the receipt's signature, and that a changed one does not pass."""
    receipt = demo.receipt
    check(receipt is not None, "there is no receipt")
    if receipt is None:
        return []
    receipt.verify(demo.public_key)
    check(receipt.state == _PURGED, "the keystore has not purged her key")
    check(receipt.stores["data"]["records"] == len(NORA.said), "the receipt counts other records than were there")
    forged = copy.deepcopy(receipt.to_json())
    forged["receipt"]["stores"]["data"]["records"] += 1
    try:
        verify_receipt(forged, demo.public_key)
    except IntegrityError:
        return [
            "The receipt's Ed25519 signature holds, and it counts the records that were there.",
            "Control: the same receipt with one figure changed is refused.",
        ]
    raise AnswerIsNo("the demo's own check failed: a forged receipt was accepted; please report it")


STEPS: tuple[tuple[str, Callable[[Demo], Awaitable[list[str]]]], ...] = (
    ("Two conversations are written", write),
    ("The files are searched for what was said", search),
    ("A byte of the data is changed", tamper),
    ("A row of another person is pasted in", paste),
    ("A person is forgotten", erase),
    ("A backup from before is restored", bring_back),
    ("The receipt is checked", show_receipt),
)
