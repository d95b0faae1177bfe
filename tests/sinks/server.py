"""A server on this machine: it keeps what is put there, as a server of checkpoints or as a bucket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Kept(ThreadingHTTPServer):
    """What was put there, and how it was asked.

    Attributes:
        objects: by their paths; what is POSTed is appended, what is PUT replaces.
        authorized: the headers that said who asked.
        status: what it answers with instead of doing anything; None to do it.
        flood: whether its answers never end.
    """

    daemon_threads = True

    def __init__(self) -> None:
        """Listen on a free port."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.authorized: list[str | None] = []
        self.status: int | None = None
        self.flood = False

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Kept

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(self.server.status or status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        self.server.authorized.append(self.headers.get("Authorization"))
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_POST(self) -> None:
        """Append a note."""
        body, path = self._body(), unquote(self.path)
        if self.server.status is None:
            self.server.objects[path] = self.server.objects.get(path, b"") + body + b"\n"
        self._answer(201)

    def do_PUT(self) -> None:
        """Keep an object."""
        body = self._body()
        if self.server.status is None:
            self.server.objects[unquote(self.path)] = body
        self._answer(200)

    def do_GET(self) -> None:
        """Give an object, or list a bucket."""
        self._body()
        parts = urlsplit(self.path)
        if self.server.flood:
            self.send_response(200)
            self.end_headers()
            with suppress(ConnectionError):
                while True:
                    self.wfile.write(bytes(1 << 20))
            return
        if not parts.query:
            body = self.server.objects.get(unquote(parts.path))
            self._answer(200 if body is not None else 404, body or b"")
            return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        root = f"{parts.path}/"
        names = sorted(path.removeprefix(root) for path in self.server.objects if path.startswith(root))
        found = [each for each in names if each.startswith(query["prefix"]) and each > query.get("start-after", "")]
        keys = "".join(f"<Contents><Key>{escape(each)}</Key></Contents>" for each in found[: int(query["max-keys"])])
        self._answer(200, f'<?xml version="1.0"?><ListBucketResult xmlns="x">{keys}</ListBucketResult>'.encode())


@contextmanager
def kept() -> Iterator[Kept]:
    """Give a server that runs until the block ends."""
    server = Kept()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
