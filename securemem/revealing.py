"""Personal data on the way out: what stands under pseudonyms is given back in clear to those who have the right.

A model gets it as it stands.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from securemem.crypto.pae import pae
from securemem.errors import AccessDeniedError
from securemem.model import Message
from securemem.policy import Policy
from securemem.ports import Clock
from securemem.privacy import reveal
from securemem.privacy.reveal import Stream
from securemem.privacy.vault import Vault
from securemem.vaults import Vaults

_MARK_BYTES = 3


class Revealing:
    """Gives back what people's vaults hold, and what is shown in its place."""

    def __init__(
        self,
        policy: Policy,
        vaults: Vaults,
        *,
        clock: Clock,
        keyed_hash: Callable[[bytes], bytes],
        log: Callable[[list[str], str | None], Awaitable[None]],
    ) -> None:
        """Take what it works with.

        Args:
            policy: in force.
            vaults: of the store.
            clock: the store's.
            keyed_hash: the tenant's.
            log: takes down, before anything is given, whose pseudonyms were revealed to which actor.
        """
        self._policy = policy
        self._vaults = vaults
        self._clock = clock
        self._keyed_hash = keyed_hash
        self._log = log

    def may_reveal(self, actor: str | None) -> bool:
        """Tell whether an actor may see what stands under pseudonyms."""
        return self._policy.allows(actor, "reveal")

    async def in_clear(self, messages: list[Message], *, owner: str, actor: str | None) -> list[Message]:
        """Give messages as they were said to those who have the right; to others as they stand."""
        return await self.as_said(messages, owner=owner) if self.may_reveal(actor) else messages

    async def as_said(self, messages: list[Message], *, owner: str) -> list[Message]:
        """Give messages as they were said, to whoever the person's own right lets have them."""
        now, vaults = self._clock(), await self._vaults_of(messages, owner)
        return [reveal.original(message, vaults[message.user_id or owner], now) for message in messages]

    async def pseudonyms(self, user_id: str) -> list[tuple[str, str]]:
        """Give what a person's pseudonyms stand for, as far as that is not past its time: token and text."""
        now, vault = self._clock(), await self._vaults.fresh(user_id)
        return [(str(entry.token), entry.text) for entry in vault.entries(now)]

    async def for_models(self, messages: list[Message], *, owner: str) -> list[Message]:
        """Give messages as a model may read them."""
        now, vaults = self._clock(), {}
        for person in {message.user_id or owner for message in messages}:
            vaults[person] = await self._vaults.fresh(person)
        return [
            reveal.as_read_by_models(
                message,
                vaults[message.user_id or owner],
                now,
                guest=self._mark(message.user_id) if message.user_id else "",
            )
            for message in messages
        ]

    async def _vaults_of(self, messages: Iterable[Message], owner: str) -> dict[str, Vault]:
        people = {message.user_id or owner for message in messages if message.pseudonymised}
        found = {message.user_id or owner: Vault() for message in messages}
        return found | {person: await self._vaults.fresh(person) for person in people}

    async def reveal(self, text: str, *, owner: str, guests: Iterable[str], actor: str | None) -> str:
        """Give a model's text with values in place of the pseudonyms of a session's owner and its guests.

        Raises:
            AccessDeniedError: the actor may not.
        """
        return reveal.revealed(text, await self._opened(owner, guests, actor), self._clock())

    async def stream(self, *, owner: str, guests: Iterable[str], actor: str | None) -> Stream:
        """Give what does the same with a text that comes in pieces.

        Raises:
            AccessDeniedError: the actor may not.
        """
        return Stream(await self._opened(owner, guests, actor), self._clock())

    async def _opened(self, owner: str, guests: Iterable[str], actor: str | None) -> dict[str, Vault]:
        """Give the vaults that a session's pseudonyms are in, by their marks, once it is written down who asks."""
        if not self.may_reveal(actor):
            raise AccessDeniedError("the policy gives this actor no right to reveal pseudonyms")
        vaults, people, now = {"": await self._vaults.fresh(owner)}, [owner], self._clock()
        for guest in guests:
            vault = vaults[self._mark(guest)] = await self._vaults.fresh(guest)
            if vault.entries(now):
                people.append(guest)
        await self._log(people, actor)
        return vaults

    def _mark(self, user_id: str) -> str:
        """Give what tells a guest's pseudonyms from the owner's: the same each time, and no way back to the id."""
        return self._keyed_hash(pae(b"securemem/guest-mark/1", user_id.encode()))[:_MARK_BYTES].hex()
