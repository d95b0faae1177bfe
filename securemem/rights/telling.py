"""Tells recipients of what was done for a person (GDPR Art. 17(2) and 19), until they have it or their time is over.

    prepared (keystore and KMS alone) → queued in the transaction that decides → sent under a lease → recorded

Who dies between sending and recording has it sent again, under the same id. One recipient's notices are sent one after
the other, and no more in this pass once it fails; recipients do not wait for each other.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from securemem.crypto.notice import open_notice
from securemem.crypto.pae import pae
from securemem.crypto.secret import RawKey
from securemem.errors import ConfigurationError, ConflictError, IntegrityError, KMSUnavailableError
from securemem.keys.keyring import Keyring
from securemem.keys.rows import OPEN
from securemem.ledger.leases import Leases
from securemem.ledger.outbox import Attempt, Due, NoticeKind, Outbox, RequestKey
from securemem.ledger.store import Ledger
from securemem.model import from_milliseconds, to_milliseconds
from securemem.policy import Policy
from securemem.policy.durations import LAST, Duration
from securemem.ports import Clock
from securemem.rights.notice import Notices, sealed_for, text_of, unwrap_key, wrap_key
from securemem.rights.told import Standing, standing_of
from securemem.webhooks import Reply, Webhook, endpoint_of, send

FIRST_WAIT = timedelta(seconds=30) // timedelta(milliseconds=1)
MOST_WAIT = timedelta(hours=6) // timedelta(milliseconds=1)
JITTER = 0.1
"""By how much of its length a wait differs at most."""
LEASE_SECONDS = 60.0
"""Longer than any one sending takes."""
KEPT = timedelta(days=30) // timedelta(milliseconds=1)
"""How long, past the last recipient's time, a notice that was given up can be sent again."""

_AT_ONCE = 100
_TRIES = 3
_TAKEN = range(200, 300)
_log = logging.getLogger("securemem")

T = TypeVar("T")


class Telling:
    """Tells the recipients of one tenant."""

    def __init__(self, keyring: Keyring, ledger: Ledger, clock: Clock, policy: Policy) -> None:
        """Take the stores, and the policy in force, which names the recipients."""
        self._keyring = keyring
        self._clock = clock
        self._policy = policy
        self._outbox = Outbox(ledger, keyring.tenant)
        self._leases = Leases(ledger, keyring.tenant, seconds=LEASE_SECONDS)

    async def prepare(self, request: bytes, user_id: str, kind: NoticeKind) -> Notices:
        """Draw up and seal what every recipient is told; the ledger is not asked.

        Args:
            request: the request's id.
            user_id: whom it is about.
            kind: what was done.
        """
        if not self._policy.notify:
            return Notices()
        at, epoch, tenant = self._now(), await self._open_epoch(), self._keyring.tenant
        recipients = [(each.id, each.url_env, Duration.of(each.ack_within).after(at)) for each in self._policy.notify]
        until = min(LAST, max(ack_by for _, _, ack_by in recipients) + KEPT)
        text = text_of(kind, user_id, request, at)
        with RawKey.generate() as raw:
            wrapped = await wrap_key(self._keyring.kms, epoch, raw, tenant=tenant, request=request)
            key = RequestKey(request, tenant, kind.value, epoch, wrapped, at, until)
            return Notices(key, tuple(sealed_for(raw, text, key, each) for each in recipients))

    async def with_notices(
        self,
        request: bytes,
        person: bytes,
        kind: NoticeKind,
        write: Callable[[Notices], Awaitable[T]],
        *,
        user_id: str | None = None,
    ) -> T:
        """Let somebody write a request's next step together with its notices, again where a rotation got in between.

        Args:
            request: the request's id.
            person: the handle of whom it is about.
            kind: what was done.
            write: does it.
            user_id: the person's, where the caller knows it.
        """
        name = user_id
        if name is None and self._policy.notify:
            name = await self._name_of(person)
        if name is None:
            return await write(Notices())
        for _ in range(_TRIES - 1):
            with contextlib.suppress(ConflictError):
                return await write(await self.prepare(request, name, kind))
        return await write(await self.prepare(request, name, kind))

    async def deliver_due(self) -> int:
        """Send what is due; gives how many notices were acknowledged."""
        await self._outbox.lapse(self._now())
        queues: dict[str, list[bytes]] = {}
        for each in await self._outbox.due(self._now(), _AT_ONCE):
            queues.setdefault(each.recipient, []).append(each.key.request)
        going = [self._tell_all(recipient, requests) for recipient, requests in queues.items()]
        ended = await asyncio.gather(*going, return_exceptions=True)
        for end in ended:
            if isinstance(end, BaseException):
                raise end
        return sum(count for count in ended if isinstance(count, int))

    async def standing(self, request: bytes) -> Standing:
        """Say how far the recipients of a request are."""
        _, answers = await self._outbox.answers(request)
        return standing_of(answers, self._policy.recipients)

    def caveats(self) -> list[str]:
        """Say which recipients of the policy cannot be told in this process's environment."""
        found = []
        for each in self._policy.notify:
            try:
                endpoint_of(each.url_env)
            except ConfigurationError as exc:
                found.append(f"recipient {each.id} cannot be told: {exc}")
        return found

    # Inside

    async def _tell_all(self, recipient: str, requests: Sequence[bytes]) -> int:
        """Send a recipient what is due, up to its first failure; gives how many notices it acknowledged."""
        count = 0
        try:
            for request in requests:
                told = await self._tell(request, recipient)
                if told is False:
                    break
                count += told is True
        except KMSUnavailableError:
            _log.warning(
                "recipient %s was told nothing: the KMS does not answer; the next pass tries it again", recipient
            )
        return count

    async def _tell(self, request: bytes, recipient: str) -> bool | None:
        """Send one notice; tells whether it was acknowledged, None where another worker has it or nothing is due."""
        taken = await self._leases.take([hashlib.sha256(pae(request, recipient.encode())).digest()])
        try:
            due = await self._outbox.due(self._now(), 1, among=[(request, recipient)]) if taken else []
            for each in due:
                attempt = await self._attempt(each)
                # Whoever lost its lease meanwhile leaves the rest to who has it.
                with contextlib.suppress(ConflictError):
                    await self._outbox.record(each, attempt, self._leases.fence(taken))
                return attempt.is_acknowledged
        finally:
            await self._leases.give_back(taken)
        return None

    async def _attempt(self, due: Due) -> Attempt:
        reply = await self._sent(due)
        at = self._now()
        if reply.status in _TAKEN:
            return Attempt(at, is_acknowledged=True, status=reply.status, next_at=None)
        next_at = _next_try(due, at)
        why = reply.why or f"it answered {reply.status}"
        then = "given up" if next_at is None else f"again at {from_milliseconds(next_at):%Y-%m-%d %H:%M} UTC"
        _log.warning("recipient %s was not told of request %s: %s; %s", due.recipient, due.key.request.hex(), why, then)
        return Attempt(at, is_acknowledged=False, status=reply.status, next_at=next_at)

    async def _sent(self, due: Due) -> Reply:
        """Send a notice; what stands in the way of it here is told as an answer that did not come."""
        key = due.key
        name = hashlib.sha256(pae(b"securemem/webhook-id/1", key.request, due.recipient.encode())).hexdigest()
        try:
            endpoint = endpoint_of(due.url_env)
            with await unwrap_key(self._keyring.kms, key) as raw:
                body = open_notice(raw, due.body, tenant=key.tenant, request=key.request, recipient=due.recipient)
        except (ConfigurationError, IntegrityError) as exc:
            return Reply(None, str(exc))
        return await send(endpoint, Webhook(f"msg_{name[:32]}", self._now() // 1000, body))

    async def _open_epoch(self) -> int:
        """Give the open epoch by the keystore, not as this process remembers it."""
        epoch = max(row.epoch for row in await self._keyring.keystore.epochs() if row.state == OPEN)
        if epoch != self._keyring.open_epoch:
            await self._keyring.reload()
        return epoch

    async def _name_of(self, person: bytes) -> str | None:
        """Give a person's real id; None of who is gone, or whose name is damaged: nobody is told of those."""
        row = await self._keyring.keystore.user_row(person)
        try:
            return (await self._keyring.user(row, None)).user_id if row is not None else None
        except IntegrityError:
            _log.warning("recipients are not told of person %s, whose sealed id does not open", person.hex())
            return None

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def _next_try(due: Due, at: int) -> int | None:
    """Give when a notice is sent again that failed; None once its time is over."""
    if at >= due.ack_by:
        return None
    wait = min(FIRST_WAIT << min(due.attempts, 16), MOST_WAIT)
    return min(at + int(wait * random.uniform(1 - JITTER, 1 + JITTER)), due.ack_by)  # noqa: S311  (no secret)
