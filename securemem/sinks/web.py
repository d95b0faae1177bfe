"""Checkpoints at a web server of one's own (`https://host/path`), and how any server is asked.

A note is POSTed to `path/origin`. `GET path/origin` answers with the notes that are kept there, the newest last, each
followed by an empty line, or at least with the newest; with 404 where there is none. `SECUREMEM_AUDIT_TOKEN`, if set,
is sent as a bearer token. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import time
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from securemem.crypto.note import notes_in
from securemem.errors import BackendUnavailableError, ConfigurationError

SECONDS = 10.0
MOST_BYTES = 16 * 1024 * 1024
_OK = range(200, 300)
_NOT_FOUND = 404
_REFUSED = (400, 401, 403, 405)


class Request(NamedTuple):
    """What is asked of a server."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


async def ask(request: Request) -> bytes | None:
    """Ask a server, and give its answer; None where it has nothing there.

    Raises:
        ConfigurationError: it refuses, whatever is tried again.
        BackendUnavailableError: it does not answer, answers with an error, or does not come to an end.
    """
    host = urlsplit(request.url).netloc.rpartition("@")[2]
    try:
        status, body = await asyncio.to_thread(_ask, request)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise BackendUnavailableError(f"{host} does not answer as a server of checkpoints") from exc
    if status in _OK:
        return body
    if status == _NOT_FOUND and request.method == "GET":
        return None
    if status in _REFUSED:
        raise ConfigurationError(f"{host} refuses checkpoints ({status}): look at its address and credentials")
    raise BackendUnavailableError(f"{host} does not take checkpoints just now ({status})")


def _ask(request: Request) -> tuple[int, bytes]:
    parts = urlsplit(request.url)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    until = time.monotonic() + SECONDS
    connection = make(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request(request.method, target, body=request.body or None, headers=dict(request.headers))
        answer = connection.getresponse()
        body = bytearray()
        while piece := answer.read1(65536):
            body += piece
            if len(body) > MOST_BYTES or time.monotonic() > until:
                raise http.client.HTTPException
        return answer.status, bytes(body)
    finally:
        connection.close()


class WebSink:
    """Notes below one address."""

    def __init__(self, url: str) -> None:
        """Name the address.

        Raises:
            ConfigurationError: it has a query, or no host.
        """
        parts = urlsplit(url)
        if parts.query or parts.fragment or not parts.hostname or "@" in parts.netloc:
            raise ConfigurationError("a web server of checkpoints is named as https://host/path, with nothing behind")
        self._url = url.rstrip("/")
        token = os.environ.get("SECUREMEM_AUDIT_TOKEN")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def put(self, origin: str, size: int, note: str) -> None:  # noqa: ARG002  (it stands in the note)
        """As `ports.AuditSink`."""
        headers = {**self._headers, "Content-Type": "text/plain; charset=utf-8"}
        await ask(Request("POST", f"{self._url}/{origin}", headers, note.encode()))

    async def notes(self, origin: str, limit: int | None = None) -> list[str]:
        """As `ports.AuditSink`."""
        body = await ask(Request("GET", f"{self._url}/{origin}", self._headers)) or b""
        found = notes_in(body.decode(errors="replace"), origin)
        return found if limit is None else found[-limit:]
