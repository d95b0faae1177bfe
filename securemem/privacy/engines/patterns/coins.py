"""CRYPTO: addresses of Bitcoin and its kin (base58check; bech32, BIP 173 and 350), Ethereum (EIP-55) and Tron.

And SECRET: the private keys that open them (WIF, BIP 32), which have the same form of checksum.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from securemem.privacy.engines.patterns.keccak import keccak256
from securemem.privacy.engines.patterns.pattern import Pattern, whole
from securemem.privacy.engines.patterns.views import beginning, word

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_GENERATORS: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_BECH32_CONSTANTS: Final = frozenset({1, 0x2BC830A3})

_ADDRESS_VERSIONS: Final = frozenset({0x00, 0x05, 0x1E, 0x30, 0x32, 0x41, 0x4C, 0x6F, 0xC4})
"""Bitcoin (twice), Dogecoin, Litecoin (twice), Tron, Dash, the test networks (twice)."""

_KEY_VERSIONS: Final = frozenset({0x80, 0xB0, 0x9E, 0xEF})
"""Bitcoin, Litecoin, Dogecoin, the test networks."""


def _base58check(value: str) -> bytes:
    """Give what stands in a value before its checksum, b"" if that is wrong."""
    number = 0
    for char in value:
        number = number * 58 + _BASE58.index(char)
    leading = len(value) - len(value.lstrip("1"))
    raw = bytes(leading) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    payload, checksum = raw[:-4], raw[-4:]
    return payload if sha256(sha256(payload).digest()).digest()[:4] == checksum else b""


def is_address(value: str) -> bool:
    """Tell whether it is a version and a hash of 20 bytes."""
    payload = _base58check(value)
    return len(payload) == 21 and payload[0] in _ADDRESS_VERSIONS  # noqa: PLR2004


def is_key(value: str) -> bool:
    """Tell whether it is a version and a key of 32 bytes, or one that others are derived from."""
    payload = _base58check(value)
    if len(payload) == 78:  # noqa: PLR2004  (BIP 32)
        return True
    return len(payload) in {33, 34} and payload[0] in _KEY_VERSIONS


def is_bech32(value: str) -> bool:
    """Tell whether the last six characters are the right checksum of either kind."""
    if value not in {value.lower(), value.upper()}:
        return False
    prefix, _, data = value.lower().rpartition("1")
    places = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    checksum = 1
    for place in places + [_BECH32.index(char) for char in data]:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ place
        for bit, generator in enumerate(_BECH32_GENERATORS):
            checksum ^= generator if top >> bit & 1 else 0
    return checksum in _BECH32_CONSTANTS


def is_ethereum(value: str) -> bool:
    """Tell whether its capitals are where EIP-55 wants them, if there are capitals and small letters."""
    digits = value[2:]
    if digits in {digits.lower(), digits.upper()}:
        return len(set(digits)) > 4  # noqa: PLR2004  (nought, and what was made up)
    hashed = keccak256(digits.lower().encode()).hex()
    wanted = (char.upper() if int(hashed[place], 16) > 7 else char for place, char in enumerate(digits.lower()))  # noqa: PLR2004
    return digits == "".join(wanted)


_LONG: Final = word(16)
_LONGER: Final = word(26)
_LETTERS: Final = "[1-9A-HJ-NP-Za-km-z]"

ROWS: Final = (
    Pattern(
        name="address of Bitcoin and its kin",
        entity="CRYPTO",
        trigger=_LONG,
        also=(_LONGER,),
        regex=rf"(?a)[123LMDTXmnA9](?<!\w[123LMDTXmnA9]){_LETTERS}{{25,34}}(?!\w)",
        check=whole(is_address),
    ),
    Pattern(
        name="address by bech32",
        entity="CRYPTO",
        trigger=_LONG,
        also=(beginning("bc1", "tb1", "ltc1"),),
        regex=(
            r"(?a)[bBtTlL](?<!\w[bBtTlL])(?:[cCbB]|[tT][cC])1(?:[02-9ac-hj-np-z]{25,87}|[02-9AC-HJ-NP-Z]{25,87})(?!\w)"
        ),
        check=whole(is_bech32),
    ),
    Pattern(
        name="address of Ethereum",
        entity="CRYPTO",
        trigger=_LONG,
        also=(beginning("0x"),),
        regex=r"(?a)0x(?<!\w0x)[0-9a-fA-F]{40}(?!\w)",
        check=whole(is_ethereum),
    ),
    Pattern(
        name="private key of Bitcoin and its kin (WIF)",
        entity="SECRET",
        trigger=_LONG,
        also=(_LONGER,),
        regex=rf"(?a)[5KLTQ69c](?<!\w[5KLTQ69c]){_LETTERS}{{50,51}}(?!\w)",
        check=whole(is_key),
    ),
    Pattern(
        name="extended private key (BIP 32)",
        entity="SECRET",
        trigger=_LONG,
        also=(beginning("xprv", "yprv", "zprv", "tprv"),),
        regex=rf"(?a)[xyzt](?<!\w[xyzt])prv{_LETTERS}{{100,112}}(?!\w)",
        check=whole(is_key),
    ),
)
