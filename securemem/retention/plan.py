"""What a policy would do now and in a week, counted without any person's key; nothing is changed by it.

Records are counted by the clear columns that say how long they live. These are claims until a sweep has checked their
row tags, which it does before it deletes anything.
"""

from __future__ import annotations

import hmac
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from securemem.crypto.pae import pae, u64
from securemem.errors import ConfigurationError, ConflictError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.ledger.holds import Holds
from securemem.ledger.store import Ledger
from securemem.lives import Lives
from securemem.model import NEVER
from securemem.policy.decide import CALL, Action
from securemem.ports import Backend, Countable

SOON = 7 * 86_400_000
"""How far ahead a plan looks, in milliseconds."""
_PAGE = 1000
_TOKEN_BYTES = 16


@dataclass(slots=True)
class Line:
    """What one rule does.

    Attributes:
        now: how many records are deleted by it now.
        soon: how many more within a week.
        kept: how many are kept out of sight by it now.
        newly_kept: how many are not deleted that would be by the policy in force.
        first: when the first of those is deleted that are deleted now or within a week, in milliseconds; None of none.
        gone_at: from when no backup has that one, in milliseconds; None where there is none, or nobody has said.
    """

    now: int = 0
    soon: int = 0
    kept: int = 0
    newly_kept: int = 0
    first: int | None = None
    gone_at: int | None = None

    def note(self, at: int) -> None:
        """Take note of when a record is going to be deleted."""
        self.first = min(at, self.first if self.first is not None else at)


@dataclass(slots=True)
class Plan:
    """What a policy would do.

    Attributes:
        at: for which moment, in milliseconds.
        records: how many there are.
        lines: by rule, or one of `decide.RESERVED`.
        held: how many a legal hold is on.
        quarantined: how many are kept out of sight because their class or time is not known.
        gone_at: from when backups do not have what is deleted now, in milliseconds; None where nobody has said.
        token: what `apply` takes.
        oldest: since when the oldest record that a rule deletes should be gone, in milliseconds; None where none is.
    """

    at: int
    records: int = 0
    lines: defaultdict[str, Line] = field(default_factory=lambda: defaultdict(Line))
    held: int = 0
    quarantined: int = 0
    gone_at: int | None = None
    token: str = ""
    oldest: int | None = None

    @property
    def by_rules(self) -> int:
        """How many records rules delete now; what callers asked for themselves is not among them."""
        return sum(line.now for rule, line in self.lines.items() if rule != CALL)


class Planner:
    """Makes plans for one tenant."""

    def __init__(self, backend: Backend, keyring: Keyring, ledger: Ledger, lives: Lives) -> None:
        """Take the stores, and how long records live by the policy that is planned."""
        self._backend = backend
        self._keyring = keyring
        self._lives = lives
        self._holds = Holds(ledger, keyring.tenant)

    async def plan(self, now: int, *, before: Lives | None = None) -> Plan:
        """Count what would be done at a moment.

        Args:
            now: in milliseconds.
            before: how long records live by the policy in force, where that is another.

        Raises:
            ConfigurationError: a data store that cannot count its records.
        """
        backend = self._backend
        if not isinstance(backend, Countable):
            raise ConfigurationError("this data store cannot count its records, so nothing can be planned on it")
        counts = await self._census(backend)
        held = await self._held(backend)
        plan = Plan(now, records=sum(counts.values()), held=sum(held.values()))
        counts.subtract(held)
        by_class = _by_class(counts)
        await self._lives.know({kind for kind, _ in by_class})
        if before is not None:
            await before.know({kind for kind, _ in by_class})
        for (kind, hour), expiries in by_class.items():
            self._add(plan, (kind, hour), expiries, before)
        return plan

    async def _census(self, backend: Countable) -> Counter[bytes]:
        """Count the tenant's records: all that lie there, where there is no other tenant."""
        if len(await self._keyring.keystore.tenants()) == 1:
            return Counter(await backend.census(None))
        found: Counter[bytes] = Counter()
        async for sessions in handles.of_tenant(self._keyring, at_once=_PAGE):
            found.update(await backend.census(sessions))
        return found

    async def _held(self, backend: Countable) -> Counter[bytes]:
        sessions: set[bytes] = set()
        for hold in await self._holds.active():
            if hold.session is not None:
                sessions.add(hold.session)
                continue
            own, _ = await handles.of_person(self._keyring, hold.person)
            sessions.update(own)
        return Counter(await backend.census(sorted(sessions))) if sessions else Counter()

    def _add(self, plan: Plan, place: tuple[int, int], expiries: Counter[int], before: Lives | None) -> None:
        """Add the records of one class and hour, by what their callers asked for."""
        kind, hour = place
        for expiry, count in expiries.items():
            decision = self._lives.decide((kind, hour, expiry), held=False, now=plan.at)
            line = plan.lines[decision.rule]
            if decision.action == Action.DELETE:
                line.now += count
                line.note(plan.at)
                if decision.rule != CALL:
                    plan.oldest = min(decision.deadline, plan.oldest or decision.deadline)
                continue
            if decision.action == Action.QUARANTINE:
                plan.quarantined += count
            elif decision.action == Action.RESTRICT:
                line.kept += count
            later = self._lives.decide((kind, hour, expiry), held=False, now=plan.at + SOON)
            if later.action == Action.DELETE:
                plan.lines[later.rule].soon += count
                plan.lines[later.rule].note(later.deadline)
            if before is not None:
                old = before.decide((kind, hour, expiry), held=False, now=plan.at)
                line.newly_kept += count if old.action == Action.DELETE else 0


def _by_class(counts: Counter[bytes]) -> dict[tuple[int, int], Counter[int]]:
    """Part counts by class and hour, and these by expiry; expiries within one second are taken for one."""
    found: defaultdict[tuple[int, int], Counter[int]] = defaultdict(Counter)
    for clear, count in counts.items():
        expiry = int.from_bytes(clear[:8])
        place = (int.from_bytes(clear[8:12]), int.from_bytes(clear[12:16]))
        found[place][-(-expiry // 1000) * 1000 if expiry != NEVER else NEVER] += count
    return found


class Token(NamedTuple):
    """What an applied plan is held against: when it was made, and how many records it deletes.

    In text: three numbers in hex, joined by `-`, of which the last is a keyed hash of the others, the policy and the
    deployment.
    """

    at: int
    deletes: int

    def text(self, keyed_hash: Callable[[bytes], bytes], policy: bytes, deployment: bytes) -> str:
        """Give it as `policy plan` prints it."""
        parts = (policy, deployment, u64(self.at), u64(self.deletes))
        digest = keyed_hash(pae(b"securemem/plan/1", *parts))[:_TOKEN_BYTES]
        return f"{self.at:x}-{self.deletes:x}-{digest.hex()}"

    @classmethod
    def read(cls, text: str, keyed_hash: Callable[[bytes], bytes], policy: bytes, deployment: bytes) -> Token:
        """Read it.

        Raises:
            ConflictError: it is no plan of this policy on this store.
        """
        at, _, rest = text.partition("-")
        deletes, _, _ = rest.partition("-")
        try:
            found = cls(int(at, 16), int(deletes, 16))
            expected = found.text(keyed_hash, policy, deployment)
        except (ValueError, OverflowError):
            expected = ""
        if not expected or not hmac.compare_digest(expected.encode(), text.encode("utf-8", "replace")):
            raise ConflictError("this is no plan of this policy on this store: `securemem policy plan` makes one")
        return found


def limit(percent: float, records: int, total: int) -> int:
    """Give how many records may go without somebody's word: the larger of a share of all, and a number."""
    return max(int(total * percent / 100), records)
