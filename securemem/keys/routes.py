"""On which server a tenant's sessions lie, as the keystore says and as this process knew it last."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection

from securemem.errors import ConfigurationError
from securemem.keys.keystore import Routes
from securemem.model import HOME, Route

ROUTE_SECONDS = 5.0
"""How long a route is believed before the keystore is asked again."""


class TenantRoute:
    """The route of one tenant; it names no server that this process cannot reach."""

    def __init__(
        self,
        keystore: Routes,
        name: str,
        servers: Collection[str] = (),
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Know nothing yet: a tenant that is not there is at home.

        Args:
            keystore: where the routes are.
            name: the tenant's, as the keystore has it.
            servers: the names of those that the settings name, besides the one of the store's own URL.
            monotonic: a clock for intervals.
        """
        self._keystore = keystore
        self._name = name
        self._servers = {HOME, *servers}
        self._monotonic = monotonic
        self._known = Route()
        self._asked_at: float | None = None
        self._asking = asyncio.Lock()

    @property
    def name(self) -> str:
        """The tenant's name in the keystore."""
        return self._name

    @property
    def age(self) -> float:
        """How long ago the keystore was asked last, in seconds."""
        return float("inf") if self._asked_at is None else self._monotonic() - self._asked_at

    def begin(self) -> None:
        """Be at home, where the keystore is one that nobody has used yet."""
        self._known, self._asked_at = Route(), self._monotonic()

    async def current(self) -> Route:
        """Give the route, as it stood at most `ROUTE_SECONDS` ago.

        Raises:
            ConfigurationError: as `renewed`.
        """
        if self.age > ROUTE_SECONDS:
            async with self._asking:
                if self.age > ROUTE_SECONDS:
                    await self.renewed()
        return self._known

    async def renewed(self) -> Route:
        """Give the route as the keystore has it now.

        Raises:
            ConfigurationError: it names a server that the settings do not.
        """
        asked_at = self._monotonic()
        route = await self._keystore.route(self._name) or Route()
        for server in self.lacking(route):
            raise ConfigurationError(
                f"the tenant lies on server {server!r}, or is being moved there, and these settings do not name it: "
                "add it under [servers] in securemem.toml, and open the store anew"
            )
        if self._asked_at is None or asked_at >= self._asked_at:
            self._known, self._asked_at = route, asked_at
        return route

    def lacking(self, route: Route) -> list[str]:
        """Give those servers of a route that the settings do not name."""
        return [server for server in route.servers if server not in self._servers]
