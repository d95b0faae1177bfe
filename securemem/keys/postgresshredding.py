"""What the keystore in PostgreSQL does for destruction: finds what is a person's, and deletes it in one commit."""

from __future__ import annotations

from securemem.keys.postgresepochs import READ_COMMITTED, PostgresEpochs, columns_of
from securemem.keys.rows import Minted, Owner, Renewed, UserRow
from securemem.postgres import Connection


class PostgresShredding(PostgresEpochs):
    """Its part of `PostgresKeystore`."""

    async def user_row(self, user: bytes) -> UserRow | None:
        """As `keystore.Shredding`."""
        row = await self._row("user_row", user)
        return UserRow(*row) if row else None

    async def sessions_of(self, user: int) -> tuple[list[bytes], list[bytes]]:
        """As `keystore.Shredding`."""
        own, visited = await self._rows("sessions_of", user), await self._rows("visited_by", user)
        return [handle for (handle,) in own], [handle for (handle,) in visited]

    async def owner_of(self, session: bytes) -> Owner | None:
        """As `keystore.Shredding`."""
        row = await self._row("owner_of", session)
        return Owner(*row) if row else None

    async def shred_user(self, user: int, *, known: set[bytes]) -> bool:
        """As `keystore.Shredding`."""

        async def work(con: Connection, _: bool) -> bool:  # noqa: FBT001
            async with con.transaction(isolation=READ_COMMITTED):
                await con.execute(self._sql["seize_user"], user)
                # Statements of their own: each sees what was committed while the one before it waited.
                own = [handle for (handle,) in await con.fetch(self._sql["seize_sessions"], user)]
                visited = [handle for (handle,) in await con.fetch(self._sql["visited_by"], user)]
                if not known.issuperset(own + visited):
                    return False
                await con.execute(self._sql["shred_user"], user, own)
            return True

        return await self._call(work)

    async def renew_user(self, new: Renewed, *, known: set[bytes]) -> Minted:
        """As `keystore.Shredding`."""

        async def work(con: Connection, again: bool) -> Minted:  # noqa: FBT001
            if again and await con.fetchval(self._sql["renewed"], new.handle, new.generation + 1, new.wrapped):
                return Minted.DONE
            async with con.transaction(isolation=READ_COMMITTED):
                if not await con.fetchval(self._sql["lock_epoch"], new.epoch):
                    return Minted.EPOCH_MOVED
                number = await con.fetchval(self._sql["seize_generation"], new.handle, new.generation)
                if number is None:
                    return Minted.USER_GONE
                own = {handle for (handle,) in await con.fetch(self._sql["seize_sessions"], number)}
                visited = {handle for (handle,) in await con.fetch(self._sql["visited_by"], number)}
                if not new.covers(own, visited, known):
                    return Minted.EXISTS
                await self._renew(con, number, new, own, visited)
            return Minted.DONE

        return await self._call(work)

    async def _renew(self, con: Connection, number: int, new: Renewed, own: set[bytes], visited: set[bytes]) -> None:
        gone = sorted(own - {handle for handle, _, _ in new.sessions})
        left = sorted(visited - {handle for handle, _ in new.visits})
        await con.execute(self._sql["shred_but"], number, gone, left)
        await con.execute(self._sql["renew_user"], number, new.epoch, new.wrapped, new.name, new.tag)
        await con.execute(self._sql["renew_sessions"], *columns_of(new.sessions, 3))
        await con.execute(self._sql["renew_visits"], number, *columns_of(new.visits, 2))

    async def shred_session(self, session: bytes) -> None:
        """As `keystore.Shredding`."""

        async def work(con: Connection, _: bool) -> None:  # noqa: FBT001
            async with con.transaction(isolation=READ_COMMITTED):
                await con.execute(self._sql["shred_session"], session)
                # A statement of its own: a guest whose key was being inserted is in by now.
                await con.execute(self._sql["shred_guests"], session)

        await self._call(work)
