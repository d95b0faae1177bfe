"""IP_ADDRESS and MAC_ADDRESS: by their forms (RFC 791, RFC 4291, IEEE 802), and not what only looks like them.

Loopback, unspecified addresses, broadcast and masks name no one and are left alone.
"""

from __future__ import annotations

import socket
from typing import Final

from securemem.privacy.engines.patterns.context import backwards
from securemem.privacy.engines.patterns.digits import compact, is_varied
from securemem.privacy.engines.patterns.expression import Expression
from securemem.privacy.engines.patterns.pattern import CHECKED, SHAPED, Pattern, whole
from securemem.privacy.engines.patterns.views import NAME_WITH_DOT, Trigger, digits, low

_VERSIONED: Final = (
    "version", "versions", "ver", "v", "release", "releases", "build", "firmware", "rev", "revision", "section",
    "chapter", "clause", "oid", "upgrade to", "upgraded to", "chrome", "safari", "edge", "edg", "python", "driver",
)  # fmt: skip
_VERSION: Final = (
    rf"\s?=[=~<>!]|/[a-z)]|[\"'(]?\s{{0,2}}(?:[:=]|\"?[:=]? ?\"|si |saw )?[\"']?(?:{backwards(_VERSIONED)})(?![a-z])"
)
_GLOBAL: Final = Expression(r"(?i)(?:[23][0-9a-f]{3}|f[cd][0-9a-f]{2}|fe[89ab][0-9a-f]|64:ff9b|::ffff):")
_COLONS: Final = Trigger("words", ("::w", "w::", ":w:", ":ww:", ":www:", ":wwww:"))
_COLONS_OR_LONG: Final = Trigger("words", (*_COLONS.needles, "w" * 17))
_FEWEST_GROUPS: Final = 3


def is_ipv4(value: str) -> bool:
    """Tell whether it is an address of some host."""
    parts = value.split(".")
    if any(int(part) > 255 or (len(part) > 1 and part[0] == "0") for part in parts):  # noqa: PLR2004
        return False
    return parts[0] not in {"0", "127"} and not value.startswith("255.255.")


def ipv6_end(text: str, start: int, end: int) -> int:
    """Give where an address of some host ends; a slice (`1::2`) and a scope (`a::b`) are none."""
    while end > start and text[end - 1] == ".":
        end -= 1
    if text[end - 1] == ":" and text[end - 2 : end] != "::":
        end -= 1
    value = text[start:end]
    groups = [group for group in value.split(":") if group]
    if len(groups) < _FEWEST_GROUPS and not _GLOBAL.compiled.match(value):
        return start
    try:
        socket.inet_pton(socket.AF_INET6, value)
    except OSError:
        return start
    return end


def is_mac(value: str) -> bool:
    """Tell whether it is of some device: neither all noughts nor a broadcast."""
    return is_varied(compact(value))


ROWS: Final = (
    Pattern(
        name="ipv4",
        entity="IP_ADDRESS",
        trigger=digits(4),
        regex=r"(?a)[0-9](?<![\w.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])",
        check=whole(is_ipv4),
        unless=_VERSION,
        score=SHAPED,
    ),
    Pattern(
        name="ipv6",
        entity="IP_ADDRESS",
        trigger=_COLONS_OR_LONG,
        also=(_COLONS,),
        regex=r"(?a)[0-9A-Fa-f:](?<![\w:.][0-9A-Fa-f:])[0-9A-Fa-f]{0,3}:[0-9A-Fa-f:]{1,39}(?:\.[0-9]{1,3}){0,3}(?![\w:])",
        check=ipv6_end,
        score=CHECKED,
    ),
    Pattern(
        name="mac",
        entity="MAC_ADDRESS",
        trigger=_COLONS_OR_LONG,
        also=(Trigger("words", ("ww:ww:ww:ww:ww:ww", "w" * 17)),),
        regex=(
            r"(?a)[0-9A-Fa-f](?<![\w:-][0-9A-Fa-f])[0-9A-Fa-f]"
            r"(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})(?![\w]|[:-][0-9A-Fa-f])"
        ),
        check=whole(is_mac),
    ),
    Pattern(
        name="mac in three groups",
        entity="MAC_ADDRESS",
        trigger=NAME_WITH_DOT,
        also=(low("mac"),),
        regex=r"(?a)[0-9a-f](?<![\w.][0-9a-f])[0-9a-f]{3}(?:\.[0-9a-f]{4}){2}(?!\w|\.\w)",
        lower=True,
        check=whole(is_mac),
        context=frozenset({"mac"}),
    ),
)
