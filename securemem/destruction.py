"""The one order of steps in which anything is destroyed: clear, expiry of a session, erasure of a person.

    ledger's tombstone → heads closed (compare-and-swap, committed) → keys shredded → rows deleted, in a later statement
    → purge

What a law or a hold demands of it is preserved before a head is closed (`preserving`), and goes on under the person's
next key while all else goes with the one that they had. A hold that is placed meanwhile wins for what is still there.

An append in flight fails its compare-and-swap on the closed head; a first append fails on the user's row, and a session
that has a key and no head yet is given a closed one. Each step can be repeated: an act that was interrupted is carried
out again when the store is opened next, and so is every act that a restored store has missed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from securemem.corrections import Corrections
from securemem.ending import Ending, Going, Outcome
from securemem.errors import BackendUnavailableError, IntegrityError
from securemem.keys import handles
from securemem.keys.keyring import Keyring
from securemem.keys.renewal import GoingOn, renew
from securemem.keys.rows import Minted, UserRow
from securemem.keys.unwrapped import GENERATION, title_of
from securemem.ledger.acts import Act, ActKind, Tombstone
from securemem.ledger.holds import select_holds
from securemem.ledger.leases import Fence
from securemem.ledger.standing import document_in_force
from securemem.ledger.store import Besides, Circumstances, Ledger
from securemem.model import VAULT, Change, Residue, Stamp, to_milliseconds
from securemem.policy import Policy
from securemem.policy.rules import Rules, document_of, rules_of
from securemem.ports import Backend, Clock
from securemem.preserving import Preserving
from securemem.residue import UNANSWERED
from securemem.throughout import carry_through
from securemem.together import few_at_once

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from securemem.ledger.schema import Tables


class Destruction:
    """Destroys sessions and people over the three stores of one deployment."""

    def __init__(
        self,
        backend: Backend,
        keyring: Keyring,
        ledger: Ledger,
        clock: Clock,
        deployment: bytes,
        *,
        policy: Policy | None = None,
    ) -> None:
        """Take the stores; each was opened by the caller.

        Args:
            backend: the data store.
            keyring: of the tenant.
            ledger: what was decided.
            clock: the store's.
            deployment: its id.
            policy: that this process goes by, for whoever decides.
        """
        self._policy = policy if policy is not None else Policy("", "")
        self._preserving = Preserving(backend, keyring, ledger, clock, policy=self._policy.digest)
        self._ending = Ending(backend, keyring, self._preserving, clock)
        self._backend = backend
        self._keyring = keyring
        self._keystore = keyring.keystore
        self._ledger = ledger
        self._clock = clock
        self._deployment = deployment
        self.corrections = Corrections(backend, keyring, ledger, clock)

    async def decide_session(self, session: bytes, generation: int, kind: ActKind) -> Act:
        """Decide to destroy one session."""
        return await self._ledger.begin(
            kind,
            tenant=self._keyring.tenant,
            user=None,
            generation=0,
            sessions=[Tombstone(session, generation)],
            at=self._now(),
            circumstances=self._circumstances if kind is ActKind.CLEAR else None,
        )

    async def _circumstances(self, connection: AsyncConnection, tables: Tables) -> Circumstances:
        """Find out within the transaction of an act what has to be kept of what it destroys.

        These are the rules of this process's policy, and those in force: whoever erases under another policy than the
        store's, such as none, destroys nothing that its own has to keep.
        """
        tenant = self._keyring.tenant
        document = await document_in_force(connection, tables, tenant)
        rules = [*self._policy.rules.rules, *(rules_of(document).rules if document is not None else ())]
        demanding = [rule for place, rule in enumerate(rules) if rule.basis is not None and rule not in rules[:place]]
        kept = document_of(Rules(rules=tuple(demanding))) if demanding else None
        return Circumstances(kept, await select_holds(connection, tables, tenant))

    def closing(self, session: bytes, raw: bytes) -> Change:
        """Give the change that closes a session if its head is still the one that was judged."""
        return self._ending.closing(session, raw)

    async def expire(self, sessions: Sequence[tuple[bytes, int]], *, fence: Fence | None = None) -> Outcome:
        """Decide to destroy sessions whose heads were closed because their time is over, and do it.

        Args:
            sessions: handles and generations.
            fence: fails within the transaction that decides, where the caller may not any more.

        Raises:
            ConflictError: as `fence`; nothing was decided.
        """
        act = await self._ledger.begin(
            ActKind.EXPIRE,
            tenant=self._keyring.tenant,
            user=None,
            generation=0,
            sessions=[Tombstone(*session) for session in sessions],
            at=self._now(),
            fence=fence,
        )
        done = await self.carry_out(act, purge_seconds=None)
        await self._ledger.finish(act.counter, at=self._now())
        return done

    async def retire(self, session: bytes, generation: int) -> None:
        """Destroy a session that its store has dropped at its end, unless somebody has begun to write there again."""
        if await self._backend.swap(self._ending.retiring(session, generation)) is None:
            await self.expire([(session, generation)])

    async def decide(
        self, person: bytes, generation: int, *, fence: Fence | None = None, besides: Besides | None = None
    ) -> Act:
        """Decide to destroy everything of one person: their key, sessions, and messages in other people's sessions.

        Args:
            person: their handle.
            generation: of their key.
            fence: raises within the transaction that decides, where that may not be; nothing is decided then.
            besides: writes what else belongs to the act.
        """
        own, visited = await handles.of_person(self._keyring, person)
        row = await self._keystore.user_row(person)  # asked for after them, it is that of all of these
        generation = max(generation, row.generation) if row is not None else generation
        return await self._ledger.begin(
            ActKind.ERASE,
            tenant=self._keyring.tenant,
            user=person,
            generation=generation,
            sessions=_tombstones(own, visited),
            at=self._now(),
            circumstances=self._circumstances,
            fence=fence,
            besides=besides,
        )

    async def carry_out(self, act: Act, *, purge_seconds: float | None) -> Outcome:
        """Do what an act says, from wherever it was left; marking it as through is the caller's.

        Args:
            act: as the ledger has it.
            purge_seconds: how long to wait for other processes while what is left on disk is removed; None leaves it
                to the caller (`purge`), who has more to destroy.

        Raises:
            NotReadyError: as `throughout`.
        """
        tries: list[Outcome] = []

        async def once() -> Stamp:
            standing = act if not tries else await self._as_left(act.counter)
            tries.append(Outcome(act.counter, act.user))
            await self._do(standing, tries[-1])
            return await self._stamp(standing)

        await carry_through(self._backend, self._keystore, once)
        outcome, *others = tries
        for each in others:
            outcome.repeated(each)
        if purge_seconds is not None:
            await self.purge(outcome, purge_seconds)
        return outcome

    async def _as_left(self, counter: int) -> Act:
        """Give an act as whoever finds it has it: with all that it turned out to be about."""
        acts = await self._ledger.acts(after=counter - 1)
        return next(act for act in acts if act.counter == counter)

    async def _do(self, act: Act, outcome: Outcome) -> None:
        if act.kind is ActKind.RECTIFY:
            for tombstone in act.tombstones:
                outcome.records += await self.corrections.enforce(act, tombstone)
            return
        sessions = {tombstone.session for tombstone in act.tombstones if not tombstone.guest}
        visited = {tombstone.session for tombstone in act.tombstones if tombstone.guest} - sessions
        going = Going(act, await self._preserving.demands(act), outcome)
        if act.user is None:
            await self._close_all(sessions, going)
            if going.spared:
                await self._ledger.drop_tombstones(act.counter, going.spared)
            await few_at_once(sorted(going.closed), self._keystore.shred_session)
        else:
            await self._erase(act.user, sessions, visited, going)
        outcome.sessions = len(going.closed)
        outcome.records += await self._backend.delete(sorted(going.closed), heads=False)
        if going.closed & (going.demands.sessions | going.demands.vaults):
            await self._preserving.let_go(going.closed)

    async def _stamp(self, act: Act) -> Stamp:
        """Give what the stores are to say then, that all up to there is done: never past an act that is under way."""
        return Stamp(self._deployment, act.counter if act.alone else await self._ledger.settled(act.counter))

    async def _erase(self, user: bytes, sessions: set[bytes], visited: set[bytes], going: Going) -> None:
        if len(sessions) + len(visited) > 1:
            await self._find_vault(user, sessions, going)
        await self._close_all(sessions - going.vaults, going)
        for session in visited:
            await self._ending.stub_out(session, user, going)
        await self._shred_person(user, going)
        await self._end_vault(user, going)
        if going.demands.resumed:
            await self._shred_spared(user, going)
        for session in sorted(going.left):
            # Whoever wrote as this person between the first pass and the shredding is met by the second.
            await self._ending.stub_out(session, user, going, late=True)
        await self._shred_unused(user, going)
        self._keyring.held.forget_handle(user)

    async def _find_vault(self, user: bytes, sessions: set[bytes], going: Going) -> None:
        """Find the session that holds what a person's pseudonyms stand for, if it is not known and among these."""
        if going.vault is not None or not sessions:
            return
        async for user_row, row in self._keyring.rows(user):
            if row.handle not in sessions:
                continue
            with contextlib.suppress(IntegrityError):  # a vault whose key does not open keeps nothing for anybody
                key = await self._keyring.user(user_row, None)
                if title_of(key, row).session_id == VAULT:
                    going.vault = await self._keyring.at(user, row.handle)
                    break
        if going.vault is not None:
            going.demands.values.take(going.vault)

    async def _keep_vault(self, user: bytes, going: Going) -> None:
        """Let a person's vault go on for as long as a hold spares something in which their pseudonyms may stand."""
        if going.spared - going.demands.preserving - going.vaults:
            for vault in going.vaults - going.spared:
                await self._preserving.keep_pseudonyms(user, vault)
                going.spared.add(vault)

    async def _end_vault(self, user: bytes, going: Going) -> None:
        """Close a vault whose key is gone; where it went on, let nobody write there by what they have cached."""
        await self._keep_vault(user, going)  # it may have gone on when this was done before
        for vault in going.vaults:
            if vault in going.spared:
                await self._preserving.move(vault)
            elif going.demands.resumed or await self._keystore.owner_of(vault) is None:
                await self._ending.close(vault, going)
            # Else another act has let it go on, for what a hold spared then: whoever goes on with that ends it.

    async def _shred_person(self, user: bytes, going: Going) -> None:
        """Delete a person's keys, once no session of theirs, or that they spoke in, is open for them any more.

        What is spared goes on under their next key, and so does what the second pass may find to preserve. Of their
        vault it is known last whether it goes on: it does so for what a hold spares.
        """
        while (row := await self._keystore.user_row(user)) is not None and row.generation <= going.act.generation:
            own, guest_in = await self._keystore.sessions_of(row.number)
            known = going.closed | going.left | going.spared
            late = {session for session in own if session not in known | going.vaults}
            await self._find_vault(user, late, going)
            late_visits = [session for session in guest_in if session not in known]
            buried = _tombstones([each for each in late if not going.demands.spares(each, user)], late_visits)
            if buried:
                await self._ledger.add_tombstones(going.act.counter, buried)
            await self._close_all(late - going.vaults, going)
            for session in late_visits:
                await self._ending.stub_out(session, user, going)
            await self._keep_vault(user, going)
            known = going.closed | going.left | (going.vaults - going.spared)
            on = GoingOn(going.spared.intersection(own), going.spared.intersection(guest_in))
            if await self._shred_but(row, on, going, known=known):
                return

    async def _shred_spared(self, user: bytes, going: Going) -> None:
        """Delete keys that went on when this act was carried out before, and are of what is not spared any more."""
        while (row := await self._keystore.user_row(user)) is not None and row.generation > going.act.generation:
            own, guest_in = await self._keystore.sessions_of(row.number)
            known = going.closed | going.left
            on = GoingOn(set(own) - known, set(guest_in) - known)
            if not known.intersection([*own, *guest_in]) or await self._shred_but(row, on, going, known=known):
                return

    async def _shred_unused(self, user: bytes, going: Going) -> None:
        """Delete the key that a person was given for what might have to be preserved, and that nothing is under."""
        row = await self._keystore.user_row(user) if going.left else None
        if row is not None and row.generation > going.act.generation:
            await self._keystore.shred_user(row.number, known=set())

    async def _shred_but(self, row: UserRow, on: GoingOn, going: Going, *, known: set[bytes]) -> bool:
        """Delete a person's keys but those of what goes on; tells whether it was done."""
        if not any(on) and not going.expects_more:
            return await self._keystore.shred_user(row.number, known=known)
        return await renew(self._keyring, row, on, known=known) is Minted.DONE

    async def _close_all(self, sessions: Iterable[bytes], going: Going) -> None:
        await few_at_once(sorted(sessions), lambda session: self._ending.close(session, going))

    async def purge(self, outcome: Outcome, seconds: float) -> None:
        """Remove what deletions left on disk, and note what is still left."""
        for name, store in (("data", self._backend), ("keystore", self._keystore)):
            try:
                left = await store.purge(seconds)
            except BackendUnavailableError:
                left = [Residue(name, UNANSWERED)]
            outcome.residue += left
            if not left:
                outcome.purged.add(name)

    async def catch_up(self, acts: Iterable[Act], *, purge_seconds: float) -> int:
        """Carry out acts that were interrupted, or that a restored store has missed, and purge once; gives how many."""
        every = list(acts)
        for act in every:
            await self.carry_out(act, purge_seconds=purge_seconds if act is every[-1] else None)
            await self._ledger.finish(act.counter, at=self._now())
        return len(every)

    def _now(self) -> int:
        return to_milliseconds(self._clock())


def _tombstones(own: Iterable[bytes], visited: Iterable[bytes]) -> list[Tombstone]:
    sessions = [Tombstone(session, GENERATION) for session in own]
    return sessions + [Tombstone(session, GENERATION, guest=True) for session in visited]
