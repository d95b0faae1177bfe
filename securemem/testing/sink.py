"""The contract of `ports.AuditSink`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from securemem.crypto.merkle import Frontier
from securemem.crypto.note import Checkpoint, open_checkpoint, sign
from securemem.crypto.secret import RawKey
from securemem.crypto.signing import Signer
from securemem.ports import AuditSink

ORIGIN, OTHER = "securemem/00/01", "securemem/00/02"

ConnectSink = Callable[[], AuditSink]
"""Gives an adapter over the test's own place, which is empty when the test begins."""


def make_note(size: int, origin: str = ORIGIN) -> str:
    """Give a signed checkpoint of a log of so many entries."""
    tree = Frontier()
    for number in range(size):
        tree.append(bytes([number]))
    return sign(Signer(RawKey(bytes(32))), Checkpoint(origin, size, tree.root()))


class AuditSinkContract:
    """Every sentence of `ports.AuditSink`, as tests; a sink passes them all.

    Subclass it, call the subclass `Test…`, and give the fixture `connect`. `connect()`, called again in one test, gives
    another adapter over the same place.
    """

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def connect(self) -> ConnectSink:
        """Give what makes adapters."""
        raise NotImplementedError("a subclass of AuditSinkContract gives the fixture `connect`")

    async def test_an_empty_place_has_no_notes(self, connect: ConnectSink) -> None:
        """Neither all nor the newest; it is no error."""
        assert await connect().notes(ORIGIN) == []
        assert await connect().notes(ORIGIN, 1) == []

    async def test_notes_come_back_byte_for_byte(self, connect: ConnectSink) -> None:
        """What one adapter put down another one reads, and its signature holds."""
        await connect().put(ORIGIN, 3, make_note(3))
        [note] = await connect().notes(ORIGIN)
        assert note == make_note(3)
        assert open_checkpoint(note, ORIGIN, Signer(RawKey(bytes(32))).public_key).size == 3

    async def test_the_newest_is_the_last(self, connect: ConnectSink) -> None:
        """Whatever the number of digits; and with a limit the newest are given."""
        for size in (1, 9, 10, 100):
            await connect().put(ORIGIN, size, make_note(size))
        assert await connect().notes(ORIGIN, 1) == [make_note(100)]
        found = await connect().notes(ORIGIN, 2)
        assert found in ([make_note(10), make_note(100)], [make_note(100)])
        assert (await connect().notes(ORIGIN))[-1] == make_note(100)

    async def test_a_note_may_be_put_down_twice(self, connect: ConnectSink) -> None:
        """As after an answer that was lost."""
        for _ in range(2):
            await connect().put(ORIGIN, 3, make_note(3))
        assert set(await connect().notes(ORIGIN)) == {make_note(3)}

    async def test_logs_are_apart(self, connect: ConnectSink) -> None:
        """Each reads its own notes alone."""
        await connect().put(ORIGIN, 3, make_note(3))
        await connect().put(OTHER, 5, make_note(5, OTHER))
        assert await connect().notes(ORIGIN) == [make_note(3)]
        assert await connect().notes(OTHER, 1) == [make_note(5, OTHER)]
