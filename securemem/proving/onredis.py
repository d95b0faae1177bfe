"""What of a Redis can be looked at: our keys, one by one; and on this machine its files and its memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from securemem.backends.redis import OPTIONS
from securemem.config import options_of
from securemem.proving.files import below, of_files
from securemem.proving.place import Missed, Place, Reading, unseen
from securemem.proving.processes import folder_of, is_here, of_memory
from securemem.proving.scan import Kind, Scan
from securemem.redis import Node, RedisServer, place_of_url
from securemem.redis.checks import configured, information
from securemem.remote import Patience

_AT_ONCE = 500
_FAR = "it does not run on this machine, or in another container: run this there too, or name its files (--also)"
_REPLICAS = "its replicas have files and memory of their own, which only who is there can look at (--also)"
_NAMES = ("dir", "dbfilename", "appenddirname", "appendfilename")
_DEFAULTS = {"dbfilename": b"dump.rdb", "appenddirname": b"appendonlydir", "appendfilename": b"appendonly.aof"}
_LIVING = frozenset({Kind.LIVING_RECORD})


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[RedisServer]:
    """Open the servers that a URL names, and close them."""
    place, options = options_of(url, OPTIONS)
    found = place_of_url(place, options)
    server = RedisServer(found, Patience.of(options, found.timeout), ())
    await server.open()
    try:
        yield server
    finally:
        await server.aclose()


async def places_on(url: str, prefix: str, *, memory: bool) -> list[Place]:
    """Give the keys, files and memory of the servers that a URL names, as places."""
    async with connected(url) as server:

        async def over(nodes: list[Node]) -> list[Place]:
            found = [Place("data", "keys", nodes[0].name, _keys(url, prefix), _LIVING)]
            control = _LIVING if len(nodes) == 1 else frozenset[Kind]()
            for node in nodes:
                found += await _on_this_machine(server, node, memory=memory, control=control)
            return found

        return await server.walk(over)


def _keys(url: str, prefix: str) -> Reading:
    pattern = "".join(f"\\{each}" if each in "*?[]\\" else each for each in prefix).encode() + b"*"

    async def read(scan: Scan, missed: Missed) -> None:
        async with connected(url) as server:

            async def over(nodes: list[Node]) -> None:
                for node in nodes:
                    await _dump(server, node, pattern, scan, missed)

            await server.walk(over)

    return read


async def _dump(server: RedisServer, node: Node, pattern: bytes, scan: Scan, missed: Missed) -> None:
    cursor = b"0"
    while True:
        [[cursor, keys]] = await server.ask(node, (b"SCAN", cursor, b"MATCH", pattern, b"COUNT", _AT_ONCE))
        dumps = await server.ask(node, *((b"DUMP", key) for key in keys)) if keys else ()
        for key, dumped in zip(keys, dumps, strict=True):
            content = dumped
            if isinstance(content, Exception):  # the right to DUMP is one that we need for nothing else
                [rows] = await server.ask(node, (b"LRANGE", key, 0, -1))
                content = b"" if isinstance(rows, Exception) else b"".join(rows)
                if isinstance(rows, Exception) and "keys that cannot be dumped" not in missed:
                    missed.append("keys that cannot be dumped")
            await asyncio.to_thread(scan.feed, key + b"\0" + (content or b""))
            scan.end()
        if cursor == b"0":
            return


async def _on_this_machine(server: RedisServer, node: Node, *, memory: bool, control: frozenset[Kind]) -> list[Place]:
    facts = await information(server, node)
    async with node.connection(node.seconds) as ask:
        settings = _DEFAULTS | await configured(ask, *_NAMES)
    number = int(facts.get("process_id", "0"))
    what_of_it = [node.name]
    if facts.get("connected_slaves", "0") != "0":
        what_of_it.append(_REPLICAS)
    where = "; ".join(what_of_it)
    if not number or not is_here(number, "redis", "valkey"):
        return [Place("data", what, where, unseen(_FAR)) for what in ("files", "memory")]
    folder = Path(settings["dir"].decode()) if "dir" in settings else folder_of(number)
    if folder is not None:
        where = where.replace(node.name, f"{node.name}, {folder}", 1)
    found = [
        Place(
            "data",
            "files",
            where,
            of_files(lambda: _files(folder, settings), nothing="it keeps no files, or this process may not read them"),
            control,
        )
    ]
    if memory:
        passing = frozenset({Kind.RECORD})
        process = f"{node.name}, process {number}"
        found.append(Place("data", "memory", process, of_memory(number), control, passing=passing))
    return found


def _files(folder: Path | None, settings: Mapping[str, bytes]) -> Iterator[Path]:
    """Give the files that a server writes, one that is being written included."""
    if folder is None:
        return
    names = [settings[name].decode() for name in ("dbfilename", "appenddirname", "appendfilename")]
    for path in [*(folder / name for name in names), *sorted(folder.glob("temp-*"))]:
        if path.exists():
            yield from below(path)
