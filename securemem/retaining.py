"""Retention as a caller asks for it (`memory.retention`): what the policy would do, did, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from securemem import codec
from securemem.errors import IntegrityError, InvalidInputError
from securemem.lives import HOUR
from securemem.model import NEVER, from_milliseconds, to_milliseconds
from securemem.policy.decide import Asked
from securemem.ports import ALL_ROWS
from securemem.residue import PURGE_SECONDS, check_purge_seconds

if TYPE_CHECKING:
    from securemem.compose import Deployment
    from securemem.host import SessionHost
    from securemem.office import Office
    from securemem.retention.keeper import Pace
    from securemem.retention.plan import Plan
    from securemem.retention.sweep import SweepReport


@dataclass(frozen=True, slots=True)
class Explanation:
    """What becomes of one message, and why.

    Attributes:
        action: "keep", "restrict", "delete" or "quarantine".
        rule: by which rule, or one of the words that decisions have for other reasons.
        deadline: when that will be another action, or since when it should be gone; None where time changes nothing.
        why: in words.
        came: the hour in which it came.
        expires_at: until when its caller wants it; None for no such end.
        entities: what was found in it when it was written.
        matching: the rules that are for it, the most specific first.
    """

    action: str
    rule: str
    deadline: datetime | None
    why: str
    came: datetime
    expires_at: datetime | None
    entities: list[str]
    matching: list[str]


class Retention:
    """What a store's policy does with time."""

    def __init__(self, host: SessionHost) -> None:
        """Take what the store's sessions share."""
        self._host = host

    async def plan(self) -> Plan:
        """Say what the policy would do now and within a week; nothing is changed.

        Raises:
            ConfigurationError: a data store of another package that cannot count its records.
        """
        async with self._host.in_use() as deployment:
            return await deployment.office.keeper.plan()

    async def apply(
        self, token: str, *, actor: str | None = None, pace: Pace | None = None, purge_seconds: float = PURGE_SECONDS
    ) -> SweepReport:
        """Put the policy in force, and delete what it says is past its time.

        Args:
            token: of the plan that somebody has read.
            actor: who applies it; the audit has a keyed hash of it.
            pace: is awaited between batches with the number of records that were taken out; False ends it early.
            purge_seconds: as `SecureMemory.sweep`.

        Returns:
            What was taken out; with a `refusal` where a second person's word is wanted first.

        Raises:
            ConflictError: it is no plan of this policy and this store, or the world has moved past what it said.
        """
        seconds = check_purge_seconds(purge_seconds)
        async with self._host.in_use() as deployment:
            return await deployment.office.keeper.apply(token, actor=actor, pace=pace, purge_seconds=seconds)

    async def work(
        self,
        *,
        pace: Pace | None = None,
        gentle: bool = False,
        purge_seconds: float | None = PURGE_SECONDS,
        keystore_backups: str | Path | None = None,
    ) -> SweepReport:
        """Take out, once, what is past its time, and go on with whatever was interrupted, as a worker does.

        That is requests, what their recipients are told, and acts of anybody that have not been through for 10 minutes.

        Args:
            pace: as `apply`.
            gentle: whether it rests between the records that it looks at, for whoever shares the machine.
            purge_seconds: as `apply`; None leaves to a later purge what the deletions left on disk.
            keystore_backups: a folder. If given, the KEK's epoch is closed within `erasure.targets.key` of an erasure,
                with a backup of the keystore there that opens the living, in place of those from before.

        Raises:
            NotReadyError: such a backup does not read back; the epoch was not closed.
        """
        seconds = check_purge_seconds(purge_seconds) if purge_seconds is not None else None
        async with self._host.in_use() as deployment:
            office = deployment.office
            await office.requesting.go_on(purge_seconds=seconds)
            await office.requesting.tell()
            resumed = await deployment.see_through(purge_seconds=seconds if seconds is not None else PURGE_SECONDS)
            try:
                report = await office.keeper.go_through(pace=pace, gentle=gentle, purge_seconds=seconds)
            except IntegrityError:
                # A damaged session is told, and keeps nobody who was erased openable.
                await _close_epochs(office, keystore_backups)
                raise
            report.resumed, report.closed_epochs = resumed, await _close_epochs(office, keystore_backups)
            return report

    async def explain(self, session_id: str, seq: int, *, user_id: str | None = None) -> Explanation:
        """Say what becomes of a message, and why.

        Raises:
            InvalidInputError: there is no such session, or no such message.
            IntegrityError: the session is not as it was written.
        """
        codec.check_id(session_id, "session_id")
        owner = user_id if user_id is not None else session_id
        codec.check_id(owner, "user_id")
        async with self._host.in_use() as deployment:
            return await self._explain(deployment, owner, session_id, seq)

    async def _explain(self, deployment: Deployment, owner: str, session_id: str, seq: int) -> Explanation:
        found = await (await self._host.conversation(owner, session_id, ())).read(ALL_ROWS)
        sealed = next((each for each in (found.records() if found is not None else []) if each.seq == seq), None)
        if found is None or sealed is None:
            raise InvalidInputError("there is no such message: it was never there, or is gone")
        lives = deployment.lives
        kind, now = sealed.retention_class, to_milliseconds(deployment.clock())
        await lives.know((kind,))
        people = {found.keys.user, sealed.subject or found.keys.user}
        held = any([await deployment.office.kept.is_held(person, found.keys.handle) for person in people])
        asked = Asked(restriction=found.head.restricted and not held)
        decision = lives.decide((kind, sealed.hour, sealed.expiry), held=held, asked=asked, now=now)
        facts = lives.facts(kind) or frozenset()
        return Explanation(
            decision.action.value,
            decision.rule,
            _moment(decision.deadline),
            decision.why,
            from_milliseconds(sealed.hour * HOUR),
            _moment(sealed.expiry),
            sorted(fact.word for fact in facts if fact.kind == "entity"),
            [rule.id for rule in lives.rules.matching(facts)],
        )


async def _close_epochs(office: Office, backups: str | Path | None) -> int:
    """Close the KEK's epoch where that was promised by now; gives how many were closed."""
    if backups is None or not await office.closing.is_due():
        return 0
    return await office.closing.close(Path(backups), office.rotation.close_epochs)


def _moment(milliseconds: int) -> datetime | None:
    return from_milliseconds(milliseconds) if milliseconds != NEVER else None
