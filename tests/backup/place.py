"""A deployment whose stores can be taken away one by one, and what is written into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from securemem import Message, SecureMemory, UserRestrictedError

STORES = ("data", "keystore", "ledger")


@dataclass
class Place:
    """Where the stores of a deployment are.

    Attributes:
        url: the data's.
        settings: those of the others.
        empty: takes one of the stores away, as if its disk had died.
        folder: for backups.
    """

    url: str
    settings: dict[str, Any]
    empty: Callable[[str], Awaitable[None]]
    folder: Path
    saved: dict[str, Path] = field(default_factory=dict)

    def open(self, **more: Any) -> SecureMemory:
        """Give the store."""
        return SecureMemory.open(self.url, **self.settings, **more)

    async def save(self, memory: SecureMemory, *stores: str, name: str = "") -> None:
        """Take backups."""
        for store in stores:
            self.saved[store] = self.folder / f"{name}{store}.backup"
            await memory.backup(self.saved[store], store=store)

    async def restore(self, *stores: str, **more: Any) -> Any:
        """Restore backups of some stores, in whatever order they are named."""
        return await SecureMemory.restore([self.saved[store] for store in stores], self.url, **self.settings, **more)


async def fill(memory: SecureMemory) -> None:
    """Write what there is before anything is decided."""
    for user in ("alice", "bob", "carol", "dave", "frank"):
        await memory.session("s", user_id=user).add_many([Message("user", f"{user} {number}") for number in range(3)])
    await memory.session("s", user_id="frank").add("user", "alice as a guest", user_id="alice")
    await memory.session("held later", user_id="frank").add("user", "held")


async def decide(memory: SecureMemory) -> None:
    """Decide this and that, and write on."""
    await memory.erase_user("alice")
    await memory.holds.place("bob", reason_code="CASE-1")
    await memory.restrict_user("carol")
    await memory.session("s", user_id="dave").clear()
    await memory.session("s", user_id="frank").add("user", "since")
    await memory.session("new", user_id="frank").add("user", "begun since")


async def read(memory: SecureMemory, user: str, session: str = "s") -> list[Any] | str:
    """Give the texts of a session, or that it is not given."""
    try:
        return [message.content for message in await memory.session(session, user_id=user).history()]
    except UserRestrictedError:
        return "restricted"
