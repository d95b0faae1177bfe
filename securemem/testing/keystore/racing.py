"""The keystore contract: whatever comes at once, nobody slips in behind a shredding or under a sealed epoch."""

from __future__ import annotations

import asyncio

from securemem.errors import NotReadyError
from securemem.keys.keystore import Keystore
from securemem.keys.rows import COMING, Floor, Guard, Minted
from securemem.testing.keystore.hooks import (
    FIRST,
    Hooks,
    OpenKeystore,
    guard,
    guest_key,
    handle,
    mint,
    new_session,
    new_user,
    number_of,
    person,
    session_row,
    tag,
    tenant_keys,
    tenant_of,
)
from securemem.testing.keystore.rotating import SECOND, open_second, rewrapped

ROUNDS = 20
AT_ONCE = 8


class Racing(Hooks):
    """Concurrency, over two adapters."""

    async def test_of_many_first_turns_one_wins(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """Of many that mint the same new person and session at once exactly one does, and all find that one."""
        adapters, tenant = [keystore, await open_keystore()], await tenant_of(keystore)
        for _ in range(ROUNDS):
            user_tag, session_tag = tag(), tag()
            people = [(new_user(tenant, user_tag=user_tag), new_session(session_tag)) for _ in range(AT_ONCE)]
            minted = await asyncio.gather(*(mint(adapters[place % 2], *each) for place, each in enumerate(people)))
            assert sorted(answer.name for answer in minted) == ["DONE"] + ["EXISTS"] * (AT_ONCE - 1)
            user, session = people[minted.index(Minted.DONE)]
            for adapter in adapters:
                found = await adapter.find([user_tag], [session_tag])
                assert found.user is not None
                assert (found.user.handle, found.session) == (user.handle, session_row(session))
        assert await keystore.counts() == (ROUNDS, ROUNDS)

    async def test_of_many_that_mint_a_session_one_wins(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """Of many that mint the same session of a known person at once, with others', exactly one does."""
        adapters, ann = [keystore, await open_keystore()], await person(keystore)
        for turn in range(ROUNDS):
            one, two = tag(), tag()
            asked = [new_session(one if place % 3 else two) for place in range(AT_ONCE)]
            minted = await asyncio.gather(
                *(mint(adapters[place % 2], ann.row, each) for place, each in enumerate(asked))
            )
            done = [each.tag for each, answer in zip(asked, minted, strict=True) if answer is Minted.DONE]
            assert sorted(done) == sorted((one, two))
            assert set(minted) == {Minted.DONE, Minted.EXISTS}
            assert await keystore.counts() == (1, 1 + 2 * (turn + 1))

    async def test_nobody_mints_behind_a_shredding(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """Sessions are minted before their user is shredded, who then stays until they are known, or not at all."""
        adapters = [keystore, await open_keystore()]
        for _ in range(ROUNDS):
            ann, bob = await person(keystore), await person(keystore)
            number = await number_of(keystore, ann.user)
            writing = [
                asyncio.create_task(act)
                for adapter in adapters
                for act in (
                    *(mint(adapter, ann.row) for _ in range(3)),
                    adapter.add_guest(bob.session.handle, ann.row, guest_key(), guard(ann.row)),
                )
            ]
            known = {ann.session.handle}
            while not await adapters[1].shred_user(number, known=known):
                own, visited = await adapters[1].sessions_of(number)
                known = {*own, *visited}
            await asyncio.gather(*writing)
            assert (await keystore.find([ann.user.tag], [])).user is None
            assert await keystore.sessions_of(number) == ([], [])
            assert await keystore.guests(bob.session.handle) == []
        assert await keystore.counts() == (ROUNDS, ROUNDS)

    async def test_no_guest_comes_behind_a_shredding(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """A guest's key is inserted before the session is shredded and goes with it, or not at all."""
        other = await open_keystore()
        for place in range(ROUNDS):
            host, guests = await person(keystore), [await person(keystore) for _ in range(4)]
            session = host.session.handle
            number = await number_of(keystore, host.user)
            await asyncio.gather(
                *(other.add_guest(session, guest.row, guest_key(), guard(guest.row)) for guest in guests[:2]),
                keystore.shred_user(number, known={session}) if place % 2 else keystore.shred_session(session),
                *(keystore.add_guest(session, guest.row, guest_key(), guard(guest.row)) for guest in guests[2:]),
            )
            assert await keystore.guests(session) == []
            for guest in guests:
                assert (await keystore.sessions_of(await number_of(keystore, guest.user)))[1] == []

    async def test_nobody_mints_under_a_sealed_epoch(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """An insertion is in before the switch returns, or fails; a switch gets through however many insert."""
        other, tenant = await open_keystore(), await tenant_of(keystore)
        host = await person(keystore)
        done = 1

        async def come(adapter: Keystore) -> None:
            nonlocal done
            while True:
                new = new_user(tenant)
                answers = [
                    await mint(adapter, new),
                    await adapter.add_guest(host.session.handle, late := new_user(tenant), guest_key(), guard(late)),
                ]
                done += answers.count(Minted.DONE)
                if Minted.EPOCH_MOVED in answers:
                    return

        coming = [asyncio.create_task(come(adapter)) for adapter in (keystore, other) for _ in range(AT_ONCE)]
        await asyncio.sleep(0.2)
        await open_second(other)
        sealed = await other.users_by_epoch()
        await asyncio.gather(*coming)
        assert await keystore.users_by_epoch() == sealed == {FIRST: done}

    async def test_no_tenant_comes_under_a_sealed_epoch(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """A tenant that is made while an epoch is switched has its keys under the next, or is not there."""
        other = await open_keystore()
        await keystore.add_epoch(SECOND, COMING, 2000)
        names = [f"late {number}" for number in range(AT_ONCE)]

        async def rotate() -> None:
            while True:
                for tenant, _, _ in await other.tenants():
                    for row in tenant_keys(SECOND):
                        await other.add_tenant_key(tenant, row)
                if await other.switch_epoch(FIRST, SECOND, 3000):
                    return

        answers = await asyncio.gather(
            *(keystore.add_tenant(handle(), name, tenant_keys(FIRST)) for name in names), rotate()
        )
        for name, answer in zip(names, answers, strict=False):
            known = await keystore.tenant(name)
            assert (known is not None) == (answer is Minted.DONE)
            if known is not None:
                assert len(await keystore.tenant_keys(known[0])) == 6

    async def test_of_two_rotations_one_wins(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """Of several switches at once one is made, and the others are told that another process rotates."""
        adapters = [keystore, await open_keystore()]
        await keystore.add_epoch(SECOND, COMING, 2000)
        for row in tenant_keys(SECOND):
            await keystore.add_tenant_key(await tenant_of(keystore), row)
        answers = await asyncio.gather(
            *(adapters[place % 2].switch_epoch(FIRST, SECOND, 3000) for place in range(AT_ONCE)),
            return_exceptions=True,
        )
        assert answers.count(True) == 1
        assert sum(isinstance(answer, NotReadyError) for answer in answers) == AT_ONCE - 1

    async def test_rewrapping_while_sessions_are_minted(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """What is minted while its user is rewrapped is found by its tag, and is not minted twice under two tags."""
        other = await open_keystore()
        people = [await person(keystore) for _ in range(ROUNDS)]
        await open_second(keystore)
        for ann, (_, row) in zip(people, await keystore.users_under(SECOND, ROUNDS), strict=True):
            new_tags = tag(), tag()
            again = new_user(1, epoch=SECOND, user_tag=new_tags[0])
            twin = new_session(new_tags[1])
            both = Guard(SECOND, [new_tags[0], ann.user.tag], [new_tags[1], ann.session.tag])
            fresh = new_session()
            new = rewrapped([(new_tags[1], ann.session.handle)])._replace(tag=new_tags[0])
            _, minted, *twins = await asyncio.gather(
                other.rewrap(row, new),
                mint(keystore, ann.row, fresh, epoch=SECOND),
                keystore.mint(again, twin, both),
                other.mint(ann.row, twin, both),
            )
            assert (minted, *twins) == (Minted.DONE, Minted.EXISTS, Minted.EXISTS)
            for session in (ann.session._replace(tag=new_tags[1]), fresh):
                assert (await other.find([new_tags[0]], [session.tag])).session == session_row(session)
        assert await keystore.counts() == (ROUNDS, 2 * ROUNDS)

    async def test_rewrapping_while_people_are_shredded(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """Whoever is shredded while rewrapped, with floors raised besides, is gone, and everybody else is rewrapped."""
        other = await open_keystore()
        people = [await person(keystore) for _ in range(ROUNDS)]
        await open_second(keystore)
        rows = {row.handle: row for _, row in await keystore.users_under(SECOND, ROUNDS)}
        floors = [Floor(each.session.handle, 5, 0) for each in people]
        await asyncio.gather(
            *(other.rewrap(rows[each.user.handle], rewrapped([(tag(), each.session.handle)])) for each in people),
            *(
                keystore.shred_user(rows[each.user.handle].number, known={each.session.handle})
                for each in people[: ROUNDS // 2]
            ),
            *(adapter.raise_floors(order) for adapter in (keystore, other) for order in (floors, floors[::-1])),
        )
        assert await keystore.counts() == (ROUNDS // 2, ROUNDS // 2)
        assert await keystore.users_by_epoch() == {SECOND: ROUNDS // 2}

    async def test_a_batch_survives_a_member(self, keystore: Keystore) -> None:
        """Whoever is cancelled takes nobody along, and is inserted or not, never half."""
        tenant = await tenant_of(keystore)
        people = [(new_user(tenant), new_session()) for _ in range(64)]
        tasks = [asyncio.create_task(mint(keystore, *each)) for each in people]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        await asyncio.wait(tasks)
        for (user, session), task in zip(people, tasks, strict=True):
            found = await keystore.find([user.tag], [session.tag])
            assert (found.user is None) == (found.session is None)
            assert task.cancelled() or (task.result(), found.session) == (Minted.DONE, session_row(session))
