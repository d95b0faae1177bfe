"""Keccak-256 as Ethereum has it: FIPS 202's permutation with the padding from before the standard.

`hashlib` has only the standard's padding. Half a millisecond a hash, for the few addresses that carry a checksum.
"""

from __future__ import annotations

from typing import Final

_RATE: Final = 136
_MASK: Final = (1 << 64) - 1
_ROUNDS: Final = 24


def keccak256(message: bytes) -> bytes:
    """Give the hash of a message."""
    padded = bytearray(message + b"\x01" + bytes(-(len(message) + 1) % _RATE))
    padded[-1] |= 0x80
    lanes = [0] * 25
    for block in range(0, len(padded), _RATE):
        for lane in range(_RATE // 8):
            lanes[lane] ^= int.from_bytes(padded[block + 8 * lane : block + 8 * lane + 8], "little")
        lanes = _permuted(lanes)
    return b"".join(lane.to_bytes(8, "little") for lane in lanes[:4])


def _permuted(lanes: list[int]) -> list[int]:
    """Give the state after Keccak-f[1600]; a lane (x, y) stands at x + 5 y."""
    shift_register = 1
    for _ in range(_ROUNDS):
        lanes = _chi(_rho_and_pi(_theta(lanes)))
        for power in range(7):
            shift_register = (shift_register << 1) ^ ((shift_register >> 7) * 0x171)
            if shift_register & 2:
                lanes[0] ^= 1 << ((1 << power) - 1)
    return lanes


def _theta(lanes: list[int]) -> list[int]:
    columns = [lanes[x] ^ lanes[x + 5] ^ lanes[x + 10] ^ lanes[x + 15] ^ lanes[x + 20] for x in range(5)]
    mixed = [columns[(x - 1) % 5] ^ _turned(columns[(x + 1) % 5], 1) for x in range(5)]
    return [lane ^ mixed[place % 5] for place, lane in enumerate(lanes)]


def _rho_and_pi(lanes: list[int]) -> list[int]:
    moved = lanes.copy()
    x, y = 1, 0
    for step in range(_ROUNDS):
        x, y, turn, lane = y, (2 * x + 3 * y) % 5, (step + 1) * (step + 2) // 2, lanes[x + 5 * y]
        moved[x + 5 * y] = _turned(lane, turn % 64)
    return moved


def _chi(lanes: list[int]) -> list[int]:
    rows = [lanes[row : row + 5] for row in range(0, 25, 5)]
    return [row[x] ^ (~row[(x + 1) % 5] & _MASK & row[(x + 2) % 5]) for row in rows for x in range(5)]


def _turned(lane: int, turn: int) -> int:
    return ((lane << turn) | (lane >> (64 - turn))) & _MASK
