"""The proof: canaries are planted, used and erased, and every place is searched for what is left of them.

A search that finds nothing shows nothing by itself. So one canary, the control, is not erased until all was searched:
where it was stored, its sealed bytes are found. And texts are laid out in clear in a folder of their own, in every form
that is looked for: all of them are found. At the end nothing of all this is left, however it ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from securemem.compose import Deployment
from securemem.model import Residue
from securemem.ports import ALL_ROWS
from securemem.proving.control import lay_out
from securemem.proving.evidence import Evidence
from securemem.proving.place import CLEAN, FOUND, LEFT, UNPROVEN, UNSEEN, Look, Missed, Place
from securemem.proving.plant import Canaries, Host, allowed, plant
from securemem.proving.register import Register
from securemem.proving.scan import Kind, Needles, Scan
from securemem.proving.whereabouts import places_of
from securemem.residue import latest
from securemem.rights.receipt import Receipt

_POLL_SECONDS = 0.2
_LIVING = frozenset({Kind.LIVING_RECORD, Kind.LIVING_KEY})

Say = Callable[[str], None]


class Forgetting(Host, Protocol):
    """What the proof needs of a store."""

    async def erase_user(self, user_id: str, *, purge_seconds: float) -> Receipt:
        """Forget a person."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of it.

    Attributes:
        looks: what each place showed.
        planted: how many messages were written, the copies that the store made of them left out.
        left_out: how many the policy did not let in.
        sealed: how many sealed messages, keys, names and tags of the erased were looked for.
        forms: in how many forms texts were laid out, and
        forms_found: how many of these the search found.
        residue: what the receipts say is left.
    """

    looks: tuple[Look, ...]
    planted: int
    left_out: int
    sealed: int
    forms: int
    forms_found: int
    residue: tuple[Residue, ...]

    @property
    def found(self) -> tuple[Look, ...]:
        """The places where something was found."""
        return tuple(look for look in self.looks if look.state == FOUND)

    @property
    def unproven(self) -> tuple[Look, ...]:
        """The places whose control was not found."""
        return tuple(look for look in self.looks if look.state == UNPROVEN)

    @property
    def is_proven(self) -> bool:
        """Whether nothing was found anywhere, and would have been."""
        looked = any(look.state in (CLEAN, LEFT) for look in self.looks)
        return looked and not self.found and not self.unproven and self.forms_found == self.forms

    @property
    def unseen(self) -> tuple[Look, ...]:
        """The places that could not be looked at."""
        return tuple(look for look in self.looks if look.state == UNSEEN)


class Proving:
    """One run over an open store."""

    def __init__(self, host: Forgetting, deployment: Deployment, *, max_messages: int, purge_seconds: float) -> None:
        """Take the store, how many messages it keeps of a session, and how long a purge may take."""
        self._host = host
        self._deployment = deployment
        self._max_messages = max_messages
        self._seconds = purge_seconds
        self._canaries = Canaries()
        self._evidence = Evidence(deployment, self._canaries)
        self._register = Register(host, deployment.clock, self._canaries.marks[0], erase=self._erase)

    async def run(self, *, also: Iterable[Path], memory: bool, say: Say) -> Proof:
        """Plant, erase, search, and clean up.

        Args:
            also: files and folders to search besides.
            memory: whether the memory of servers on this machine is searched.
            say: is told what is being done.

        Raises:
            ConfigurationError: nothing can be planted under this policy.
        """
        contents = await allowed(self._canaries, self._deployment)
        say("Planting")
        # What is cancelled in mid-append may come to be written after all: so it is let to its end, and then erased.
        planting = asyncio.create_task(self._plant(contents))
        try:
            await asyncio.shield(planting)
            say("Erasing")
            residue = [left for user in self._canaries.erased for left in await self._erase(user)]
            return await self._search(tuple(latest(residue)), also=also, memory=memory, say=say)
        finally:
            say("Cleaning up")
            await asyncio.wait([planting])
            for user in self._canaries.people:
                await self._erase(user)
            await self._register.end()

    async def _plant(self, contents: list[Any]) -> None:
        await self._register.begin()
        await plant(self._host, self._canaries, contents, max_messages=self._max_messages, saw=self._evidence.collect)

    async def _erase(self, user: str) -> tuple[Residue, ...]:
        return tuple((await self._host.erase_user(user, purge_seconds=self._seconds)).residue)

    async def _search(self, residue: tuple[Residue, ...], *, also: Iterable[Path], memory: bool, say: Say) -> Proof:
        needles = Needles.of(self._canaries.marks, self._evidence.sealed)
        laid, seen = await asyncio.to_thread(lay_out, self._canaries.marks, needles)
        looks = []
        for place in [self._answers(), *await places_of(self._deployment, also=also, memory=memory)]:
            say(f"Searching {place.store}: {place.what}")
            looks.append(await self._look(place, needles))
        return Proof(
            tuple(looks),
            self._canaries.planted,
            self._canaries.left_out,
            sum(kind in (Kind.RECORD, Kind.KEY) for kind, _ in self._evidence.sealed),
            laid,
            seen,
            residue,
        )

    async def _look(self, place: Place, needles: Needles) -> Look:
        """Look at a place; at a replica until it has all that its primary has."""
        deadline = time.monotonic() + self._seconds
        look = await place.look(needles)
        while place.store == "replica" and look.state in (FOUND, UNPROVEN) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            look = await place.look(needles)
        return look

    def _answers(self) -> Place:
        """Give what the stores answer when they are asked, as a place."""
        deployment, canaries = self._deployment, self._canaries

        async def read(scan: Scan, _: Missed) -> None:
            for user in canaries.people:
                row = await deployment.keyring.find_user(user)
                if row is not None:
                    scan.feed(row.wrapped + row.name)
                    own, _visited = await deployment.keyring.keystore.sessions_of(row.number)
                    for session in own:
                        await self._tail(session, scan)
            for session in self._evidence.sessions:
                await self._tail(session, scan)

        return Place("data", "answers", "what the stores give when they are asked", read, _LIVING)

    async def _tail(self, session: bytes, scan: Scan) -> None:
        head, rows = await self._deployment.backend.tail(session, ALL_ROWS)
        scan.feed(head + b"".join(body for _, body in rows))
        scan.end()
