"""The contract of `ports.KeyManagementService`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from securemem.crypto.secret import RawKey
from securemem.errors import SecureMemError, WrongKeyError
from securemem.ports import KeyManagementService

DEPLOYMENT = b"deployment of 16"
CONTEXT = b"whose key this is"

ConnectKms = Callable[[], KeyManagementService]
"""Gives an adapter over the test's own KEKs, not open yet."""

OpenKms = Callable[[], Awaitable[KeyManagementService]]
"""Gives an open adapter over the test's own KEKs; it is closed when the test ends."""


class KmsContract:
    """Every sentence of `ports.KeyManagementService`, as tests; a KMS passes them all.

    Subclass it, call the subclass `Test…`, and give the fixture `connect`. `connect()` gives an adapter that is not
    open yet. Called again in one test it gives another one over the same KEKs; where these live in the object and
    nowhere else, it gives that same object again.
    """

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def connect(self) -> ConnectKms:
        """Give what makes adapters."""
        raise NotImplementedError("a subclass of KmsContract gives the fixture `connect`")

    @pytest_asyncio.fixture
    async def open_kms(self, connect: ConnectKms) -> AsyncIterator[OpenKms]:
        """Give what opens adapters, and close them when the test ends."""
        opened: list[KeyManagementService] = []

        async def open_kms() -> KeyManagementService:
            kms = connect()
            opened.append(kms)
            await kms.open(DEPLOYMENT, create=True)
            return kms

        yield open_kms
        for kms in opened:
            await kms.aclose()

    @pytest_asyncio.fixture
    async def kms(self, open_kms: OpenKms) -> KeyManagementService:
        """Give one open adapter with one epoch."""
        kms = await open_kms()
        await kms.create_epoch(1)
        return kms

    async def test_a_new_one_has_no_epoch(self, open_kms: OpenKms) -> None:
        """A KMS that was just made has no KEK until an epoch is created."""
        kms = await open_kms()
        assert await kms.epochs() == []
        await kms.create_epoch(1)
        assert await kms.epochs() == [1]

    async def test_what_was_wrapped_is_unwrapped(self, kms: KeyManagementService) -> None:
        """A box opens to the key that was wrapped, and does not show it."""
        key = RawKey.generate()
        box = await kms.wrap(1, key, context=CONTEXT)
        assert key.expose_secret() not in box
        opened = await kms.unwrap(1, box, context=CONTEXT)
        assert opened.expose_secret() == key.expose_secret()

    async def test_wrapping_twice_gives_two_boxes(self, kms: KeyManagementService) -> None:
        """Two boxes of one key do not tell that they hold the same; wrapping leaves the caller's key as it was."""
        key = RawKey.generate()
        before = key.expose_secret()
        boxes = {await kms.wrap(1, key, context=CONTEXT), await kms.wrap(1, key, context=CONTEXT)}
        assert len(boxes) == 2
        assert key.expose_secret() == before

    @pytest.mark.parametrize("other", [b"", CONTEXT[:-1], CONTEXT + b"\x00", b"Whose key this is"])
    async def test_the_context_is_bound(self, kms: KeyManagementService, other: bytes) -> None:
        """A box does not open with another context."""
        box = await kms.wrap(1, RawKey.generate(), context=CONTEXT)
        with pytest.raises(WrongKeyError):
            await kms.unwrap(1, box, context=other)

    async def test_the_epoch_is_bound(self, kms: KeyManagementService) -> None:
        """A box does not open under another epoch's KEK, nor under one that never was."""
        await kms.create_epoch(2)
        box = await kms.wrap(1, RawKey.generate(), context=CONTEXT)
        for epoch in (2, 3):
            with pytest.raises(WrongKeyError):
                await kms.unwrap(epoch, box, context=CONTEXT)
        await kms.unwrap(1, box, context=CONTEXT)

    async def test_a_changed_box_does_not_open(self, kms: KeyManagementService) -> None:
        """A box with a bit flipped anywhere, cut short, lengthened or empty does not open."""
        box = await kms.wrap(1, RawKey.generate(), context=CONTEXT)
        flipped = [box[:at] + bytes((box[at] ^ 1,)) + box[at + 1 :] for at in range(len(box))]
        for changed in (*flipped, box[:-1], box[:1], b"", box + b"\x00"):
            with pytest.raises(WrongKeyError):
                await kms.unwrap(1, changed, context=CONTEXT)

    async def test_creating_twice_keeps_the_kek(self, kms: KeyManagementService) -> None:
        """An epoch that is there stays as it is when it is created again."""
        box = await kms.wrap(1, RawKey.generate(), context=CONTEXT)
        await kms.create_epoch(1)
        await kms.unwrap(1, box, context=CONTEXT)
        assert await kms.epochs() == [1]

    async def test_epochs_ascend(self, kms: KeyManagementService) -> None:
        """The epochs that live are given in ascending order."""
        for epoch in (3, 12, 2):
            await kms.create_epoch(epoch)
        await kms.destroy_epoch(3)
        assert await kms.epochs() == [1, 2, 12]

    async def test_a_destroyed_epoch_opens_nothing(self, kms: KeyManagementService, open_kms: OpenKms) -> None:
        """What was wrapped under a destroyed epoch opens no more, here and for whoever opens the KMS next."""
        await kms.create_epoch(2)
        box, kept = [await kms.wrap(epoch, RawKey.generate(), context=CONTEXT) for epoch in (1, 2)]
        await kms.destroy_epoch(1)
        for each in (kms, await open_kms()):
            assert await each.epochs() == [2]
            with pytest.raises(WrongKeyError):
                await each.unwrap(1, box, context=CONTEXT)
            await each.unwrap(2, kept, context=CONTEXT)

    async def test_a_destroyed_epoch_wraps_nothing(self, kms: KeyManagementService) -> None:
        """Wrapping under a destroyed epoch, or under one that never was, is an error."""
        await kms.destroy_epoch(1)
        for epoch in (1, 2):
            with pytest.raises(SecureMemError):
                await kms.wrap(epoch, RawKey.generate(), context=CONTEXT)

    async def test_destroying_twice(self, kms: KeyManagementService) -> None:
        """Destroying an epoch that is gone, or never was, is fine."""
        await kms.destroy_epoch(1)
        await kms.destroy_epoch(1)
        await kms.destroy_epoch(7)
        assert await kms.epochs() == []

    async def test_an_epoch_created_anew_is_another(self, kms: KeyManagementService) -> None:
        """An epoch that was destroyed and created again has another KEK: old boxes stay shut."""
        box = await kms.wrap(1, RawKey.generate(), context=CONTEXT)
        await kms.destroy_epoch(1)
        await kms.create_epoch(1)
        with pytest.raises(WrongKeyError):
            await kms.unwrap(1, box, context=CONTEXT)

    async def test_two_create_one_kek(self, open_kms: OpenKms) -> None:
        """Two that create the same epoch at once share one KEK: what one wraps the other unwraps."""
        one, two = await asyncio.gather(open_kms(), open_kms())
        await asyncio.gather(one.create_epoch(1), two.create_epoch(1), one.create_epoch(1))
        for here, there in ((one, two), (two, one)):
            box = await here.wrap(1, RawKey.generate(), context=CONTEXT)
            await there.unwrap(1, box, context=CONTEXT)

    async def test_an_epoch_made_elsewhere(self, kms: KeyManagementService, open_kms: OpenKms) -> None:
        """An epoch that another adapter has created since is there for whoever was open before."""
        other = await open_kms()
        await other.create_epoch(2)
        box = await other.wrap(2, RawKey.generate(), context=CONTEXT)
        await kms.unwrap(2, box, context=CONTEXT)
        await kms.wrap(2, RawKey.generate(), context=CONTEXT)
        assert await kms.epochs() == [1, 2]

    async def test_keks_are_there_after_reopening(self, kms: KeyManagementService, open_kms: OpenKms) -> None:
        """After `aclose`, what is opened next over the same KEKs unwraps what was wrapped, with `create` or without."""
        box = await kms.wrap(1, RawKey.generate(), context=CONTEXT)
        await kms.aclose()
        again = await open_kms()
        await again.open(DEPLOYMENT, create=False)
        assert await again.epochs() == [1]
        await again.unwrap(1, box, context=CONTEXT)

    async def test_many_at_once(self, kms: KeyManagementService) -> None:
        """64 wraps and unwraps at once each give their own key."""
        keys = [RawKey.generate() for _ in range(64)]
        boxes = await asyncio.gather(
            *(kms.wrap(1, key, context=b"%d" % number) for number, key in enumerate(keys)),
        )
        opened = await asyncio.gather(
            *(kms.unwrap(1, box, context=b"%d" % number) for number, box in enumerate(boxes)),
        )
        assert [key.expose_secret() for key in opened] == [key.expose_secret() for key in keys]

    async def test_closing_twice(self, kms: KeyManagementService) -> None:
        """A second `aclose` does nothing."""
        await kms.aclose()
        await kms.aclose()
