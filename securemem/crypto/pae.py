"""Pre-authentication encoding: many byte strings as one, so that no two lists share an encoding.

    PAE(p1 … pn) = n u32 | len(p1) u32 | p1 | … | len(pn) u32 | pn        (big-endian)

After PASETO's PAE and DSSE's; the widths are ours.
"""

from __future__ import annotations

import struct

_U32 = struct.Struct(">I")


def pae(*parts: bytes) -> bytes:
    """Encode the parts so that boundaries cannot shift between them."""
    out = [_U32.pack(len(parts))]
    for part in parts:
        out.append(_U32.pack(len(part)))
        out.append(part)
    return b"".join(out)


def u64(number: int) -> bytes:
    """Give a number as 8 bytes, big-endian."""
    return number.to_bytes(8, "big")


def u32(number: int) -> bytes:
    """Give a number as a part: four bytes, big-endian."""
    return _U32.pack(number)
