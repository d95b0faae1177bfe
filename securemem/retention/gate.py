"""Whether workers may delete by a policy: whether it is in force.

A policy is in force once it was put there: with the tenant, by `policy apply`, or by the first worker that meets it
where it says `after_change: apply`. What two persons have to approve waits for the second one, whether the new policy
says so or the one whose place it takes. What callers themselves
asked for (`ttl`, `expires_at`) is deleted whatever the policy says.
"""

from __future__ import annotations

from dataclasses import dataclass

from securemem.errors import ConflictError
from securemem.ledger.audit import Audit, Event, EventKind
from securemem.ledger.standing import InForce, Standing
from securemem.ledger.store import Ledger
from securemem.policy import Policy
from securemem.policy.decide import CALL
from securemem.policy.differ import KEEP_SHORTENED, TTL_SHORTENED, differences
from securemem.policy.rules import Brakes, Rules, brakes_of, document_of, rules_of

PLAN_ONLY = "plan_only"
_IDLE = Rules()
_BRAKES = {KEEP_SHORTENED: TTL_SHORTENED}
"""What is approved under another name than its own: by a shorter keep, too, something goes sooner."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a worker may delete by rules.

    Attributes:
        is_open: whether it may.
        why: why not, and what to do; empty where it may.
    """

    is_open: bool
    why: str = ""

    def may(self, rule: str) -> bool:
        """Tell whether something may be deleted by a rule."""
        return self.is_open or rule == CALL


class Gate:
    """Knows which policy is in force for one tenant, and puts another there."""

    def __init__(self, ledger: Ledger, tenant: bytes, policy: Policy) -> None:
        """Take the ledger, the tenant's handle, and the policy that the store was opened under."""
        self._standing = Standing(ledger, tenant)
        self._audit = Audit(ledger)
        self._tenant = tenant
        self._policy = policy
        safety = policy.safety
        self._brakes = Brakes(frozenset(safety.two_person), safety.after_change == PLAN_ONLY)
        self._document = document_of(policy.rules, self._brakes)

    async def in_force(self) -> tuple[Rules, bytes | None]:
        """Give the rules in force, and the policy's SHA-256; no rules where none was ever put there."""
        found = await self._newest()
        return (rules_of(found.document), found.policy) if found is not None else (_IDLE, None)

    async def _newest(self) -> InForce | None:
        return next((each for each in await self._standing.all() if each.applied), None)

    async def begin(self, at: int) -> None:
        """Put the policy in force for a tenant that is new."""
        await self._standing.put(self._policy.digest, self._document, actor=None, at=at, applied=True)

    async def ask(self, at: int) -> Verdict:
        """Tell whether workers may go by the policy; one that need not wait is put in force."""
        found = await self._newest()
        if self._document == (found.document if found is not None else document_of(_IDLE)):
            return Verdict(is_open=True)
        if self._both(found).plan_only or self._wants_two(found):
            why = (
                "the policy has changed: see `securemem policy plan`, and put it in force with `securemem policy apply`"
            )
            return Verdict(is_open=False, why=why)
        await self._put(None, at, applied=True)
        return Verdict(is_open=True)

    def _both(self, found: InForce | None) -> Brakes:
        """Give what holds a policy up: what it says itself, and what the one says whose place it takes."""
        return self._brakes | (brakes_of(found.document) if found is not None else Brakes())

    def _wants_two(self, found: InForce | None) -> list[str]:
        """Give what has changed that a second person has to approve; nobody takes that from them alone."""
        rules, brakes = (rules_of(found.document), brakes_of(found.document)) if found else (_IDLE, Brakes())
        old = Policy(self._policy.name, "", rules=rules)
        changed = {each.kind for each in differences(old, self._policy)}
        wanted = {kind for kind in changed if _BRAKES.get(kind, kind) in self._both(found).two_person}
        if brakes.two_person - self._brakes.two_person:
            wanted.add("two_person")
        return sorted(wanted)

    async def approve(self, actor: bytes | None, at: int) -> str:
        """Put the policy in force, or note that one person wants it; gives what it waits for, empty if for nothing.

        Args:
            actor: a keyed hash of who approves.
            at: in milliseconds.

        Raises:
            ConflictError: two persons have to approve, and this one has not said who they are.
        """
        wanted = self._wants_two(await self._newest())
        if not wanted:
            await self._put(actor, at, applied=True)
            return ""
        if actor is None:
            raise ConflictError(f"{', '.join(wanted)} wants two persons' word: say whose this is (--actor)")
        for each in await self._standing.all():
            if each.applied:
                break
            if each.policy == self._policy.digest and each.actor is not None and each.actor != actor:
                await self._put(actor, at, applied=True)
                return ""
        await self._put(actor, at, applied=False)
        return f"{', '.join(wanted)} wants a second person's word: let somebody else apply it too"

    async def _put(self, actor: bytes | None, at: int, *, applied: bool) -> None:
        kind = EventKind.APPLY if applied else EventKind.PROPOSE
        await self._audit.write(Event(kind, self._tenant, None, actor, self._policy.digest, at))
        await self._standing.put(self._policy.digest, self._document, actor=actor, at=at, applied=applied)

    async def refused(self, records: int, at: int) -> None:
        """Write down that a worker was not allowed to delete so many records."""
        event = Event(EventKind.REFUSE, self._tenant, None, None, self._policy.digest, at, records=records)
        await self._audit.write(event)
