"""Gives tenants the names by which their sessions are found where a backup is restored.

A tenant's name has the table in it, or on Redis the prefix. What lay in tables and comes to Redis, or the other way
round, is named there as it would have been if it had been begun there: what had no name of its own needs none.
"""

from __future__ import annotations

from collections.abc import Mapping

from securemem.adapters import space_from_elsewhere, space_of
from securemem.config import Settings
from securemem.errors import ConfigurationError
from securemem.keys.keystore import Keystore
from securemem.readiness import named, space_name


async def names_here(settings: Settings, keystore: Keystore) -> Mapping[str, str]:
    """Give the names that tenants get here, by those that they have; none where they are found as they are.

    Raises:
        ConfigurationError: nobody who opens a store by these settings would find a session.
    """
    tenants = [named(name) for _, _, name in await keystore.tenants()]
    ours, spaces = space_of(settings), {space for space, _ in tenants}
    if ours in spaces:
        return {}
    here = {space: space_from_elsewhere(settings, space) for space in spaces}
    if ours not in here.values():
        raise _not_found(spaces, ours)
    names = {}
    for space, tenant in tenants:
        new = here[space]
        if new is None:
            raise _not_found({space}, ours)
        names[space_name(space, tenant)] = space_name(new, tenant)
    return names


def _not_found(spaces: set[str], ours: str) -> ConfigurationError:
    listed = ", ".join(sorted(map(repr, spaces)))
    return ConfigurationError(
        f"the sessions lie under {listed}, and the settings name {ours!r}: name the table_name or prefix that they "
        "have; what has a prefix of its own can be restored into Redis alone"
    )
