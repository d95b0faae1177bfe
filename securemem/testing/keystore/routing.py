"""The keystore contract: on which servers the tenants' sessions lie."""

from __future__ import annotations

import asyncio
from pathlib import Path

from securemem.keys.keystore import Keystore
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.model import HOME, Route
from securemem.testing.keystore.hooks import FIRST, TENANT, Connect, Hooks, OpenKeystore, handle, tenant_keys

_MOVING = Route(1, HOME, "second")
_MOVED = Route(2, "second", None)


class Routing(Hooks):
    """`Routes`."""

    async def test_a_tenant_begins_at_home(self, keystore: Keystore) -> None:
        """A tenant that was not moved is on the server of the store's own URL; one that is not there has no route."""
        assert await keystore.route(TENANT) == Route(0, HOME, None)
        assert await keystore.route("nobody") is None

    async def test_a_route_is_changed(self, keystore: Keystore, connect: Connect) -> None:
        """A change is there for who opens the keystore next, for its tenant alone."""
        await keystore.add_tenant(handle(), "another", tenant_keys(FIRST))
        assert await keystore.set_route(TENANT, Route(), _MOVING)
        assert await keystore.set_route(TENANT, _MOVING, _MOVED)
        other = connect()
        await other.open()
        assert await other.route(TENANT) == _MOVED
        assert await other.routes() == [("another", Route()), (TENANT, _MOVED)]
        await other.aclose()

    async def test_a_route_is_compared(self, keystore: Keystore) -> None:
        """Who expects a version that does not stand changes nothing, nor who names a tenant that is not there."""
        assert await keystore.set_route(TENANT, Route(), _MOVING)
        assert not await keystore.set_route(TENANT, Route(), Route(1, HOME, "third"))
        assert not await keystore.set_route(TENANT, _MOVED, Route(3, HOME, None))
        assert not await keystore.set_route("nobody", Route(), _MOVING)
        assert await keystore.route(TENANT) == _MOVING

    async def test_one_of_many_changes_a_route(self, keystore: Keystore, open_keystore: OpenKeystore) -> None:
        """Of many that change one route at once, one does."""
        others = [await open_keystore() for _ in range(4)]
        wanted = [Route(1, HOME, f"server {number}") for number in range(4)]
        done = await asyncio.gather(
            *(other.set_route(TENANT, Route(), route) for other, route in zip(others, wanted, strict=True))
        )
        assert sum(done) == 1
        assert await keystore.route(TENANT) == wanted[done.index(True)]

    async def test_a_backup_has_the_routes(self, keystore: Keystore, tmp_path: Path) -> None:
        """A backup says where each tenant is, and its digest is another once that has changed."""
        before = await keystore.backup(tmp_path / "before.db")
        assert await keystore.set_route(TENANT, Route(), _MOVING)
        assert await keystore.backup(tmp_path / "after.db") != before
        copy = SqliteKeystore(str(tmp_path / "after.db"))
        await copy.open()
        assert await copy.routes() == [(TENANT, _MOVING)]
        await copy.aclose()
