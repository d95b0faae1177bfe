"""What a process knows of a tenant's route, and for how long."""

from __future__ import annotations

import asyncio

import pytest

from securemem.errors import ConfigurationError
from securemem.keys import routes
from securemem.keys.routes import TenantRoute
from securemem.model import HOME, Route

SECONDS = 5.0


class Keystore:
    """Routes that a test sets, and how often they were asked for."""

    def __init__(self) -> None:
        self.standing: Route | None = Route()
        self.asked = 0
        self.slow: asyncio.Event | None = None

    async def routes(self) -> list[tuple[str, Route]]:
        """As `keystore.Routes`."""
        return [("tenant", self.standing)] if self.standing is not None else []

    async def route(self, name: str) -> Route | None:
        """As `keystore.Routes`."""
        assert name == "tenant"
        self.asked += 1
        found, slow = self.standing, self.slow
        if slow is not None:
            await slow.wait()
        return found

    async def set_route(self, name: str, expected: Route, new: Route) -> bool:
        """As `keystore.Routes`."""
        self.standing = new
        return expected != new


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give the moment, in a list to be changed."""
    monkeypatch.setattr(routes, "ROUTE_SECONDS", SECONDS)
    return [100.0]


def _route(keystore: Keystore, now: list[float]) -> TenantRoute:
    return TenantRoute(keystore, "tenant", ["second"], monotonic=lambda: now[0])


async def test_a_route_is_asked_for_every_few_seconds(now: list[float]) -> None:
    """A route is believed for so long and no longer, however many ask."""
    keystore = Keystore()
    route = _route(keystore, now)
    assert await asyncio.gather(*(route.current() for _ in range(9))) == [Route()] * 9
    assert keystore.asked == 1
    keystore.standing = Route(1, HOME, "second")
    now[0] += SECONDS
    assert await route.current() == Route()
    now[0] += 0.1
    assert await asyncio.gather(*(route.current() for _ in range(9))) == [keystore.standing] * 9
    assert keystore.asked == 2


async def test_a_renewed_route_is_as_it_is_now(now: list[float]) -> None:
    """Whoever wants it as it stands now gets that, and all others know it from then on."""
    keystore = Keystore()
    route = _route(keystore, now)
    await route.current()
    keystore.standing = Route(2, "second")
    assert await route.renewed() == await route.current() == Route(2, "second")


async def test_a_slow_answer_does_not_turn_it_back(now: list[float]) -> None:
    """An answer that was asked for before another is not believed after it."""
    keystore = Keystore()
    route = _route(keystore, now)
    keystore.slow = asyncio.Event()
    slow, stuck = asyncio.create_task(route.renewed()), keystore.slow
    await asyncio.sleep(0)
    keystore.slow, keystore.standing = None, Route(2, "second")
    now[0] += 1
    assert await route.renewed() == Route(2, "second")
    stuck.set()
    assert await slow == Route()
    assert await route.current() == Route(2, "second")


async def test_a_tenant_that_is_not_there_is_at_home(now: list[float]) -> None:
    """Nobody's route is that of a new tenant; where the keystore is new it is not asked."""
    keystore = Keystore()
    keystore.standing = None
    assert await _route(keystore, now).current() == Route(0, HOME, None)
    route = _route(keystore, now)
    route.begin()
    assert await route.current() == Route()
    assert keystore.asked == 1


@pytest.mark.parametrize("standing", [Route(2, "third"), Route(1, HOME, "third"), Route(3, "third", HOME)])
async def test_a_server_that_is_out_of_reach(now: list[float], standing: Route) -> None:
    """A route that names a server that the settings do not is an error that says which."""
    keystore = Keystore()
    keystore.standing = standing
    route = _route(keystore, now)
    for ask in (route.current, route.renewed):
        with pytest.raises(ConfigurationError, match=r"server 'third'.*\[servers\]"):
            await ask()
    assert route.lacking(standing) == ["third"]
    assert route.lacking(Route(2, "second", HOME)) == []
