"""The cache of unwrapped keys: bounded in number and time, and wiped on every way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from securemem import KMSUnavailableError
from securemem.crypto.secret import RawKey
from securemem.keys.cache import KeyCache
from securemem.keys.held import CACHE_SECONDS
from securemem.keys.keyring import Keyring, open_keyring
from securemem.keys.keystore import Keystore
from securemem.keys.sqlitekeystore import SqliteKeystore
from securemem.keys.unwrapped import Title
from securemem.kms.memory import MemoryKms
from securemem.sqlitefile import MEMORY


class Entry:
    """Something that can be wiped, and knows whether it was."""

    wiped = False

    def wipe(self) -> None:
        """As `keys.cache.Wipeable`."""
        self.wiped = True


class Watch:
    """A monotonic clock that is moved by hand."""

    now = 1000.0

    def __call__(self) -> float:
        """As `time.monotonic`."""
        return self.now


@pytest.fixture
def watch() -> Watch:
    """Give a monotonic clock."""
    return Watch()


@pytest.fixture
def cache(watch: Watch) -> KeyCache[str, Entry]:
    """Give a cache for three entries and a minute."""
    return KeyCache(size=3, ttl=60, monotonic=watch)


def _fill(cache: KeyCache[str, Entry], *names: str) -> dict[str, Entry]:
    entries = {name: Entry() for name in names}
    for name, entry in entries.items():
        cache.put(name, entry)
    return entries


def test_an_entry_is_held_for_its_time(cache: KeyCache[str, Entry], watch: Watch) -> None:
    """Up to its time it is given, whole; after it it is gone and wiped. Use does not lengthen it."""
    entry = _fill(cache, "a")["a"]
    watch.now += 60
    assert cache.get("a") is entry
    assert not entry.wiped
    watch.now += 0.001
    assert cache.get("a") is None
    assert entry.wiped


def test_expire_wipes_what_nobody_asks_for(cache: KeyCache[str, Entry], watch: Watch) -> None:
    """`expire` lets go of all that is too old and of nothing else, and tells how long until the next is."""
    old = _fill(cache, "a")["a"]
    watch.now += 40
    new = _fill(cache, "b")["b"]
    assert cache.expire() == 20
    watch.now += 20.001
    assert cache.expire() == pytest.approx(39.999)
    assert (old.wiped, new.wiped) == (True, False)
    watch.now += 40
    assert cache.expire() is None
    assert new.wiped


def test_the_least_recently_used_goes_first(cache: KeyCache[str, Entry]) -> None:
    """A fourth entry takes the place of the one that was used least recently, which is wiped."""
    entries = _fill(cache, "a", "b", "c")
    cache.get("a")
    entries |= _fill(cache, "d")
    assert {name for name, entry in entries.items() if entry.wiped} == {"b"}
    assert cache.get("b") is None
    assert [cache.get(name) for name in "acd"] == [entries[name] for name in "acd"]


def test_a_replaced_entry_is_wiped(cache: KeyCache[str, Entry]) -> None:
    """The old value goes, the new one is whole."""
    old, new = _fill(cache, "a")["a"], _fill(cache, "a")["a"]
    assert (old.wiped, new.wiped) == (True, False)
    assert cache.get("a") is new


@pytest.mark.parametrize(
    ("way", "gone"),
    [
        (lambda cache, entries: cache.discard("a"), {"a"}),
        (lambda cache, entries: cache.discard("unknown"), set()),
        (lambda cache, entries: cache.discard_where(lambda entry: entry is entries["b"]), {"b"}),
        (lambda cache, entries: cache.clear(), {"a", "b", "c"}),
    ],
    ids=["discard", "discard-unknown", "discard-where", "clear"],
)
def test_whatever_leaves_is_wiped(
    cache: KeyCache[str, Entry], way: Callable[[KeyCache[str, Entry], dict[str, Entry]], None], gone: set[str]
) -> None:
    """Each way out wipes what goes and nothing else."""
    entries = _fill(cache, "a", "b", "c")
    way(cache, entries)
    assert {name for name, entry in entries.items() if entry.wiped} == gone
    assert {name for name in entries if cache.get(name) is None} == gone


class Kms(MemoryKms):
    """A KMS that counts, and can be out."""

    unwraps = 0
    out = False

    async def unwrap(self, epoch: int, box: bytes, *, context: bytes) -> RawKey:
        """As `ports.KeyManagementService`."""
        if self.out:
            raise KMSUnavailableError("out")
        self.unwraps += 1
        return await super().unwrap(epoch, box, context=context)


@pytest.fixture
async def kms() -> Kms:
    """Give a KMS with one epoch."""
    kms = Kms()
    await kms.create_epoch(1)
    return kms


@pytest.fixture
async def keystore() -> Keystore:
    """Give a keystore in memory with one epoch."""
    keystore = SqliteKeystore(MEMORY)
    await keystore.open()
    await keystore.add_epoch(1, "open", 0)
    return keystore


async def _open(keystore: Keystore, kms: Kms, watch: Watch) -> Keyring:
    return await open_keyring(keystore, kms, "t", monotonic=watch)


async def test_a_kms_outage_fails_closed_after_the_caches_time(keystore: Keystore, kms: Kms, watch: Watch) -> None:
    """While the cache holds a key an outage is not noticed; past its time it is an error, until the KMS is back."""
    keyring = await _open(keystore, kms, watch)
    await keyring.mint("alice", "s", Title("s", 0))
    kms.out = True
    watch.now += CACHE_SECONDS
    assert await keyring.find("alice", "s") is not None
    watch.now += 0.001
    with pytest.raises(KMSUnavailableError):
        await keyring.find("alice", "s")
    kms.out = False
    assert await keyring.find("alice", "s") is not None
    await keystore.aclose()


async def test_an_idle_process_keeps_no_key(
    keystore: Keystore, kms: Kms, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is never asked for again is wiped when its time is over, by a timer; before it is there."""
    monkeypatch.setattr("securemem.keys.held.CACHE_SECONDS", 0.05)
    keyring = await open_keyring(keystore, kms, "t")
    await keyring.mint("alice", "s", Title("s", 0))
    [user] = keyring.held.users
    assert user.key.expose_secret()
    for _ in range(500):
        if not list(keyring.held.users):
            break
        await asyncio.sleep(0.01)
    assert not list(keyring.held.sessions)
    with pytest.raises(ValueError, match="wiped"):
        user.key.expose_secret()
    await keyring.aclose()
    await keystore.aclose()


async def test_many_loads_at_once_unwrap_once(keystore: Keystore, kms: Kms, watch: Watch) -> None:
    """However many sessions of one person are loaded cold at once, the KMS is asked once."""
    keyring = await _open(keystore, kms, watch)
    names = [f"s{number}" for number in range(20)]
    for name in names:
        await keyring.mint("alice", name, Title(name, 0))
    cold = await _open(keystore, kms, watch)
    before = kms.unwraps
    found = await asyncio.gather(*(cold.find("alice", name) for name in names))
    assert kms.unwraps == before + 1
    assert [keys.title.session_id for keys in found if keys is not None] == names
    await keystore.aclose()


async def test_a_failed_unwrap_is_asked_again(keystore: Keystore, kms: Kms, watch: Watch) -> None:
    """An error is given to all who waited for it, and not remembered."""
    await (await _open(keystore, kms, watch)).mint("alice", "s", Title("s", 0))
    cold = await _open(keystore, kms, watch)
    kms.out = True
    answers = await asyncio.gather(*(cold.find("alice", "s") for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [KMSUnavailableError] * 5
    kms.out = False
    assert await cold.find("alice", "s") is not None
    await keystore.aclose()


async def test_a_cancelled_load_does_not_take_others_down(keystore: Keystore, kms: Kms, watch: Watch) -> None:
    """Of several who wait for one unwrap the first may be cancelled, and the others get the key."""
    await (await _open(keystore, kms, watch)).mint("alice", "s", Title("s", 0))
    cold = await _open(keystore, kms, watch)
    tasks = [asyncio.create_task(cold.find("alice", "s")) for _ in range(3)]
    await asyncio.sleep(0.0005)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(answer is not None and not isinstance(answer, BaseException) for answer in answers[1:])
    await keystore.aclose()
