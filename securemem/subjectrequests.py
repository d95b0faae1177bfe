"""Requests of people as a caller takes and answers them (`memory.requests`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from securemem import codec
from securemem.residue import PURGE_SECONDS, check_purge_seconds

if TYPE_CHECKING:
    from securemem.host import SessionHost
    from securemem.rights.requests import Request, Requesting


class SubjectRequests:
    """The requests of one store's tenant. Every `actor` needs the right `erase` where the policy has roles."""

    def __init__(self, host: SessionHost) -> None:
        """Take what the store's sessions share."""
        self._host = host

    async def receive(self, kind: str, user_id: str, *, regime: str | None = None, actor: str | None = None) -> Request:
        """Take a request down, from when its deadline runs; nothing of the person's is touched before `verify`.

        Args:
            kind: "access", "erasure", "rectification", "restriction", "portability" or "objection".
            user_id: the person that it is about.
            regime: the law that it is made under; the policy's first one, or the GDPR, if not given.
            actor: who took it, for the audit.

        Raises:
            InvalidInputError: no such kind or law.
            AccessDeniedError: the policy gives the actor no right to it.
        """
        codec.check_id(user_id, "user_id")
        async with self._by(actor) as requesting:
            return await requesting.receive(kind, user_id, regime=regime, actor=actor)

    async def acknowledge(self, request_id: str, *, actor: str | None = None) -> Request:
        """Note that the person was told that the request has come."""
        async with self._by(actor) as requesting:
            return await requesting.acknowledge(request_id, actor=actor)

    async def verify(
        self, request_id: str, *, actor: str | None = None, purge_seconds: float = PURGE_SECONDS
    ) -> Request:
        """Note that it is known that the person themselves asks, and carry it out.

        An erasure, a restriction and an objection (as a restriction) are done when this returns, or wait for a hold's
        release; access, portability and rectification are planned, for somebody to do and then to `complete`.

        Raises:
            InvalidInputError: there is no request of this id.
            ConflictError: it is being carried out, or was answered.
        """
        seconds = check_purge_seconds(purge_seconds)
        async with self._by(actor) as requesting:
            return await self._host.under_way.through(requesting.verify(request_id, actor=actor, purge_seconds=seconds))

    async def complete(self, request_id: str, *, actor: str | None = None) -> Request:
        """Note that a planned request was answered."""
        async with self._by(actor) as requesting:
            return await self._host.under_way.through(requesting.complete(request_id, actor=actor))

    async def refuse(self, request_id: str, *, basis: str, actor: str | None = None) -> Request:
        """Refuse a request of which nothing was done yet.

        Args:
            request_id: as `receive` gave it.
            basis: the article by which, such as "gdpr-12-5-b"; no text.
            actor: who refuses it, for the audit.
        """
        codec.check_id(basis, "basis")
        async with self._by(actor) as requesting:
            return await requesting.refuse(request_id, basis=basis, actor=actor)

    async def extend(self, request_id: str, *, actor: str | None = None) -> Request:
        """Extend its time once, as far as its law lets; tell the person why before it would have been due."""
        async with self._by(actor) as requesting:
            return await requesting.extend(request_id, actor=actor)

    async def pause(self, request_id: str, *, actor: str | None = None) -> Request:
        """Stop its clock while the person has to say something, where its law has that."""
        async with self._by(actor) as requesting:
            return await requesting.pause(request_id, actor=actor)

    async def resume(self, request_id: str, *, actor: str | None = None) -> Request:
        """Let its clock go on; it is due later by the days that it stood."""
        async with self._by(actor) as requesting:
            return await requesting.resume(request_id, actor=actor)

    async def retry(self, request_id: str, *, actor: str | None = None) -> Request:
        """Let recipients that never confirmed, and were given up, be told again, with as much time as at first.

        Raises:
            InvalidInputError: there is no request of this id; none was given up; or it is so long ago that what they
                would be told was destroyed.
        """
        async with self._by(actor) as requesting:
            return await requesting.retry(request_id)

    async def list(self, *, due: timedelta | None = None, everything: bool = False) -> list[Request]:
        """Give the requests that are open, those that are due first.

        Args:
            due: those alone that are overdue, or due within so much time.
            everything: those too that were answered.
        """
        async with self._host.in_use() as deployment:
            return await deployment.office.requesting.list(within=due, everything=everything)

    async def show(self, request_id: str) -> tuple[Request, dict[str, Any] | None]:
        """Give a request, and the receipt of its erasure, as `Receipt.to_json`, where there is one."""
        async with self._host.in_use() as deployment:
            return await deployment.office.requesting.show(request_id)

    @asynccontextmanager
    async def _by(self, actor: str | None) -> AsyncIterator[Requesting]:
        """Give who answers requests, if the actor may ask for that."""
        self._host.check_right(actor, "erase")
        async with self._host.in_use() as deployment:
            yield deployment.office.requesting
