"""A million candidate e-mails against all that is left of an erased person: which of them can be linked to it?

A store of a few people, all known by their e-mails. One is erased; then every file of the store, the KEK and what it
opens, the receipt, and every key-like field is taken, and each candidate is tried against it. The list holds the erased
person and those who live on: these have to be found, for the store itself has to find them, and so they show that the
attack works. The control does the same with a copy of the keystore from before the erasure: it has to find the erased.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks import processes
from benchmarks.linkage_attack import SESSION, Link, Remains
from securemem import ConfigurationError, LegalHoldError, SecureMemory
from securemem.crypto.kdf import hkdf_expand
from securemem.keys.tenant import load_tenant, unwrap_tenant_key

CANDIDATES = 1_000_000
LIVING = 3
CARELESS = 10_000
_FIRST = ("anna", "ben", "chloe", "david", "elif", "farid", "grace", "hugo", "ines", "jonas", "kofi", "lena", "mei")
_LAST = ("smith", "garcia", "mueller", "rossi", "nguyen", "kim", "silva", "novak", "okafor", "larsen", "haddad")
_HOSTS = ("example.com", "example.org", "mail.example.net", "example.edu", "work.example.com")
_LABELS = (b"securemem/keyed-hash/2026-11",)
_CHUNK = 2_000
_WHICH_KEY = re.compile(r"under key \d+")


def email(number: int) -> str:
    """Give a candidate's e-mail."""
    first, last = _FIRST[number % len(_FIRST)], _LAST[number // len(_FIRST) % len(_LAST)]
    return f"{first}.{last}{number}@{_HOSTS[number % len(_HOSTS)]}"


class Scene(NamedTuple):
    """What the attacker finds, and who is who.

    Attributes:
        remains: all that is left, and beside it a copy of the keystore from before the erasure.
        erased: who was erased.
        living: who was not.
    """

    remains: Remains
    erased: str
    living: frozenset[str]


async def prepare(folder: Path, candidates: int, *, careless: bool = False) -> Scene:
    """Fill a store, erase one person, and take what is left.

    Args:
        folder: an empty one.
        candidates: how many there are.
        careless: whether the application writes e-mails where none belong: as tags, purposes and names of actors.
    """
    erased, *living = (email(candidates * each // (LIVING + 1) + 1) for each in range(LIVING + 1))
    live = folder / "live"
    live.mkdir()
    async with SecureMemory.open(f"sqlite:///{live}/store.db") as memory:
        for person in (erased, *living):
            tag = person if careless else "invoice"
            await memory.session(SESSION, user_id=person).add("user", f"I am {person}", metadata={"tags": [tag]})
            await memory.session(person, purpose=tag).add("user", "my own", ttl=60)
        await memory.session(SESSION, user_id=living[0]).add("user", "as a guest", user_id=erased)
        await memory.session(SESSION, user_id=erased).fork("branch")
        actor = erased if careless else "dpo"
        await memory.restrict_user(erased, actor=actor)
        hold = await memory.holds.place(erased, reason_code="case-1", actor=actor)
        with suppress(LegalHoldError):
            await memory.erase_user(erased)  # is queued
        keystore = [path.read_bytes() for path in live.glob("store.keys.db*")]
        await memory.holds.release(hold.id, actor=actor)
        receipts = [json.dumps((await memory.erase_user(erased)).to_json()).encode()]
        keys, tenant = await _keys(memory)
    remains = Remains.of(live, more=receipts, old=keystore, keys=keys, tenant=tenant)
    return Scene(remains, erased, frozenset(living))


async def _keys(memory: SecureMemory) -> tuple[list[bytes], bytes]:
    """Give all keys that the KEK opens besides people's: the attacker has the KEK."""
    deployment = await memory.host.ready()
    keystore, kms = deployment.stores.keystore, deployment.stores.kms
    tenant = await load_tenant(keystore, kms, deployment.stores.route.name)
    rows = await keystore.tenant_keys(tenant.number)
    index = [await unwrap_tenant_key(kms, tenant.handle, row) for row in rows if row.kind == "index"]
    own = [key.expose_secret() for key in (*index, tenant.head)]
    derived = [hkdf_expand(tenant.head.expose_secret(), label) for label in _LABELS]
    return [bytes(key) for key in (*own, *derived)], tenant.handle


_remains: list[Remains] = []


def _take(remains: Remains) -> None:
    """Be given the remains once, in a process of one's own."""
    _remains[:] = [remains]


def _links(numbers: range) -> list[Link]:
    [remains] = _remains
    return list(remains.links(map(email, numbers)))


def _attack(remains: Remains, candidates: int, workers: int) -> Iterator[Link]:
    """Try every candidate against what is left, in processes side by side."""
    ranges = [range(start, min(start + _CHUNK, candidates)) for start in range(0, candidates, _CHUNK)]
    with ProcessPoolExecutor(workers, initializer=_take, initargs=(remains,)) as pool:
        for found in pool.map(_links, ranges):
            yield from found


class Outcome(NamedTuple):
    """What an attack came to: who was found, and by what the erased person was."""

    linked: frozenset[str]
    hows: Sequence[str]

    @classmethod
    def of(cls, links: Sequence[Link], erased: str) -> Outcome:
        """Sum up what was found."""
        hows = {_WHICH_KEY.sub("under a key", link.how) for link in links if link.candidate == erased}
        return cls(frozenset(link.candidate for link in links), sorted(hows))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--candidates", type=int, metavar="N", default=CANDIDATES, help="a million by default")
    parser.add_argument("--workers", type=int, metavar="N", default=2, help="processes side by side, 2 by default")
    parser.add_argument("--dir", type=Path, help="where the store goes; TMPDIR by default")


def run(arguments: argparse.Namespace) -> int:
    """Make the stores, carry out the attack and its controls, and print who was found; 1 where it is not as it must be.

    Raises:
        ConfigurationError: too few candidates.
    """
    if arguments.candidates <= LIVING:
        raise ConfigurationError("give some more candidates")
    right = [_show(case) for careless in (False, True) for case in _cases(arguments, careless=careless)]
    for name, value in processes.machine("securemem", "cryptography").items():
        _print(f"{name}: {value}")
    return 0 if all(right) else 1


class _Case(NamedTuple):
    """An attack: what it is, who is who, what came of it, and whether the erased has to be found."""

    what: str
    scene: Scene
    outcome: Outcome
    finds: bool


def _cases(arguments: argparse.Namespace, *, careless: bool) -> Iterator[_Case]:
    """Carry out an attack; every digest is held against what is left, and against the copies from before as well."""
    count = min(arguments.candidates, CARELESS) if careless else arguments.candidates
    with tempfile.TemporaryDirectory(dir=arguments.dir) as folder:
        scene = asyncio.run(prepare(Path(folder), count, careless=careless))
    began, remains = time.perf_counter(), scene.remains
    links = list(_attack(remains, count, arguments.workers))
    _print(
        f"{count:,} candidates, {remains.tries()} digests of each under {len(remains.keys)} keys and what looks like "
        f"one, against {remains.size:,} bytes with what is decoded: {time.perf_counter() - began:.0f} s"
    )
    left = Outcome.of([link for link in links if not link.old], scene.erased)
    if careless:
        yield _Case("control: e-mails used as tags, purposes and names of actors", scene, left, finds=True)
        return
    yield _Case("what is left", scene, left, finds=False)
    yield _Case("control: with the keystore from before", scene, Outcome.of(links, scene.erased), finds=True)


def _show(case: _Case) -> bool:
    """Print what came of an attack, and tell whether that is as it has to be."""
    scene, linked = case.scene, case.outcome.linked
    living, strangers = linked & scene.living, linked - scene.living - {scene.erased}
    _print(f"  {case.what}")
    _print(
        f"    the erased person: {'linked, by ' + '; '.join(case.outcome.hows) if case.outcome.hows else 'not linked'}"
    )
    _print(f"    of the {len(scene.living)} who live on: {len(living)} linked; of strangers: {len(strangers)}")
    return linked == scene.living | ({scene.erased} if case.finds else set())


def _print(line: str) -> None:
    print(line, flush=True)
