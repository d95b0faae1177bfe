"""Retention as an operator asks for it: plan, apply, explain, and the passes of a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from securemem.errors import ConflictError, IntegrityError
from securemem.keys.keyring import Keyring
from securemem.ledger.standing import Pass, Standing
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import from_milliseconds, to_milliseconds
from securemem.policy import Policy
from securemem.ports import Backend, Clock, Countable
from securemem.retention.gate import Gate, Verdict
from securemem.retention.plan import Plan, Planner, Token, limit
from securemem.retention.sweep import Orders, Sweep, SweepReport

Pace = Callable[[int], Awaitable[bool]]
_DAY = 86_400_000
_IDLE_DAYS = 1
_LOOKED_AT = 256
"""How many sessions are looked at first to find one that waits for a worker."""
_NOBODY = bytes(32)
"""In the place of a policy, where the heads are not all by one."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Carries out one tenant's policy.

    Attributes:
        policy: that the store was opened under.
        sweep: of the tenant.
        gate: says whether workers may go by the policy.
    """

    policy: Policy
    backend: Backend
    keyring: Keyring
    ledger: Ledger
    lives: Lives
    sweep: Sweep
    gate: Gate
    clock: Clock
    deployment: bytes

    async def plan(self) -> Plan:
        """Say what the policy would do; nothing is changed.

        Raises:
            ConfigurationError: a data store that cannot count its records.
        """
        now = to_milliseconds(self.clock())
        plan = await self._planned(now)
        plan.token = Token(now, plan.by_rules).text(self.keyring.keyed_hash, self.policy.digest, self.deployment)
        if self.policy.backup_days is not None:
            plan.gone_at = now + self.policy.backup_days * _DAY
            for line in plan.lines.values():
                line.gone_at = line.first + self.policy.backup_days * _DAY if line.first is not None else None
        return plan

    async def _planned(self, now: int) -> Plan:
        rules, _ = await self.gate.in_force()
        before = self.lives.under(rules) if rules != self.policy.rules else None
        return await Planner(self.backend, self.keyring, self.ledger, self.lives).plan(now, before=before)

    async def apply(
        self, token: str, *, actor: str | None, pace: Pace | None = None, purge_seconds: float | None
    ) -> SweepReport:
        """Put the policy in force, and delete what it says is past its time.

        Args:
            token: of the plan that somebody has read.
            actor: who applies it.
            pace: as `Orders`.
            purge_seconds: as `Sweep.run`.

        Raises:
            ConflictError: it is no plan of this policy and this store, or more would be deleted by now than the plan
                said and the policy allows on top of that.
        """
        now = to_milliseconds(self.clock())
        planned = Token.read(token, self.keyring.keyed_hash, self.policy.digest, self.deployment)
        plan, then = await self._planned(now), await self._planned(planned.at)
        # What was due then may be gone by now, for this plan was applied before: nothing else goes in its place.
        if max(plan.by_rules - planned.deletes, plan.by_rules - then.by_rules) > self._allowed(plan):
            await self.gate.refused(plan.by_rules, now)
            raise ConflictError(
                f"the plan was to delete {planned.deletes:,} records; by now it would be {plan.by_rules:,}, of which "
                f"{plan.by_rules - then.by_rules:,} have come to their end since: plan again"
            )
        refusal = await self.gate.approve(self.keyring.actor_hash(actor), now)
        if refusal:
            return SweepReport(refusal=refusal)
        return await self._go(Verdict(is_open=True), pace, purge_seconds=purge_seconds)

    def _allowed(self, plan: Plan) -> int:
        """Give how many records may go without a word; all of them where the policy has no limit."""
        most = self.policy.safety.max_delete
        return limit(most.percent, most.records, plan.records) if most is not None else plan.records

    async def go_through(
        self, *, pace: Pace | None = None, gentle: bool = False, purge_seconds: float | None
    ) -> SweepReport:
        """Take out, once, what is past its time, as far as workers may; pace and gentle as `Orders` has them."""
        now = to_milliseconds(self.clock())
        verdict = await self.gate.ask(now)
        plan = None
        if verdict.is_open and self.policy.safety.max_delete is not None and not self.policy.rules.are_idle:
            plan = await self._planned(now)
            if plan.by_rules > self._allowed(plan):
                await self.gate.refused(plan.by_rules, now)
                why = (
                    f"{plan.by_rules:,} of {plan.records:,} records are past their time, more than the policy lets go "
                    "at once: see `securemem policy plan`, and `securemem policy apply` if that is meant"
                )
                verdict = Verdict(is_open=False, why=why)
        report = await self._go(verdict, pace, gentle=gentle, purge_seconds=purge_seconds)
        if not verdict.is_open and isinstance(self.backend, Countable):
            # What waits for somebody's word is not due by the heads that were written under another policy.
            plan = plan or await self._planned(now)
            report.waiting, report.oldest = plan.by_rules, plan.oldest
        return report

    async def _go(
        self, verdict: Verdict, pace: Pace | None, *, gentle: bool = False, purge_seconds: float | None
    ) -> SweepReport:
        standing, policy = Standing(self.ledger, self.keyring.tenant), self.policy.digest
        last = await standing.last_pass()
        # Heads say when to look by the policy under which they were written, or looked at last.
        everything = verdict.is_open and (last is None or last.policy != policy)
        if last is not None and last.policy not in (policy, _NOBODY):
            # Now, for this may be stopped or killed in its middle.
            await standing.went_through(last._replace(policy=_NOBODY))
        stopped = False

        async def paced(records: int) -> bool:
            nonlocal stopped
            stopped = pace is not None and not await pace(records)
            return not stopped

        orders = Orders(may=verdict.may, everything=everything, pace=paced, gentle=gentle)
        swept = await self.sweep.run(orders, purge_seconds=purge_seconds)
        if not stopped:
            # Whoever had the leases of some may have died since, and their heads do not say that they are due.
            through = verdict.is_open and not swept.left_to_others
            if not everything:
                last = await standing.last_pass()  # again, for another policy may have been at the heads meanwhile
                through = last is not None and last.policy == policy
            by = policy if through else _NOBODY
            await standing.went_through(Pass(by, to_milliseconds(self.clock()), swept.records, swept.oldest))
        swept.refusal = verdict.why
        return swept

    async def caveat(self) -> str | None:
        """Say that something is past its time and no worker looks at it; None where that is not so.

        Callers' own ends (`ttl`, `expires_at`) come whatever the policy says.
        """
        now = to_milliseconds(self.clock())
        if not await self._has_work(now):
            return None
        last = await Standing(self.ledger, self.keyring.tenant).last_pass()
        if last is not None and last.at > now - _IDLE_DAYS * _DAY:
            return None
        since = "none was ever here" if last is None else f"the last was here on {from_milliseconds(last.at):%d %B %Y}"
        return (
            f"something is past its time, or was held or restricted, and no worker looks at it ({since}): "
            "run `securemem worker`"
        )

    async def _has_work(self, now: int) -> bool:
        """Tell whether a session of the tenant waits for a worker; the heads of those that were destroyed can wait."""
        seen, limit = set[bytes](), _LOOKED_AT
        while True:
            due = await self.backend.due(now, limit)
            for session in due:
                if session in seen:
                    continue
                raw, _ = await self.backend.tail(session, 0)
                with suppress(IntegrityError):  # another tenant's
                    if raw and not self.keyring.head_seal(session).decode(raw).closed:
                        return True
            if len(due) < limit:
                return False
            seen.update(due)
            limit *= 2
