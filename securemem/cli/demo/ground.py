"""What the demo's steps share: where its store is, and how they make sure of what they say."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from securemem.cli.demo import files
from securemem.cli.demo.story import NORA, TOMAS, Person
from securemem.cli.outcome import AnswerIsNo
from securemem.errors import IntegrityError
from securemem.memory import SecureMemory
from securemem.rights.receipt import Receipt


@dataclass(slots=True)
class Demo:
    """Where the demo is, and what it has found out on the way.

    Attributes:
        folder: holds the store, and nothing else but what the demo puts there.
        backup: the copy of the data from before the erasure.
        handles: the random handles of the sessions, by person.
        numbers: their numbers in the data file, by person.
        before: the sealed records by person, as they lay in the file before the erasure.
        log: the size of the data's write-ahead log when the last conversation had just been written.
        receipt: of the erasure.
        public_key: that it is signed with, as PEM.
    """

    folder: Path
    backup: Path
    handles: dict[Person, bytes] = field(default_factory=dict)
    numbers: dict[Person, int] = field(default_factory=dict)
    before: dict[Person, dict[int, bytes]] = field(default_factory=dict)
    log: int = 0
    receipt: Receipt | None = None
    public_key: str = ""

    @property
    def data(self) -> Path:
        """The data file."""
        return self.folder / "conversation.db"

    @property
    def keystore(self) -> Path:
        """The keystore's file."""
        return self.folder / "conversation.keys.db"

    @property
    def ledger(self) -> Path:
        """The ledger's file."""
        return self.folder / "conversation.ledger.db"

    def store(self) -> SecureMemory:
        """Name the store; it is opened anew each time, so that nothing is told from memory."""
        return SecureMemory.open(
            f"sqlite:///{self.data}",
            keystore=f"sqlite:///{self.keystore}",
            ledger=f"sqlite:///{self.ledger}",
            kms=f"file:///{self.folder}/conversation.kek",
            policy="plain",
            table_name="messages",
        )

    def rows(self, person: Person) -> dict[int, bytes]:
        """Give a person's sealed records as they lie in the file now."""
        return files.records(self.data, self.numbers[person])


def check(holds: object, otherwise: str) -> None:
    """Go on only if something holds.

    Raises:
        AnswerIsNo: it does not.
    """
    if not holds:
        raise AnswerIsNo(f"the demo's own check failed: {otherwise}; please report it")


async def whole(memory: SecureMemory, person: Person) -> bool:
    """Tell whether a person's conversation reads back word for word."""
    history = await memory.session(person.session_id, user_id=person.user_id).history()
    return [(message.role, message.content) for message in history] == list(person.said)


async def refused(demo: Demo, person: Person) -> IntegrityError:
    """Give the error that reading a person's conversation ends in, while the other's reads well."""
    async with demo.store() as memory:
        check(await whole(memory, TOMAS), "the other conversation does not read back")
        try:
            await memory.session(person.session_id, user_id=person.user_id).history()
        except IntegrityError as exc:
            return exc
    raise AnswerIsNo("the demo's own check failed: a changed record was read without an error; please report it")


async def readable(demo: Demo) -> None:
    """Check that both conversations read back."""
    async with demo.store() as memory:
        for person in (NORA, TOMAS):
            check(await whole(memory, person), f"the conversation of {person.name} does not read back")
