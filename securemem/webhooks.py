"""Webhooks by Standard Webhooks 1.0.0: where one goes, how it is signed, and one POST that is answered by a status.

    webhook-id         the same however often it is sent
    webhook-timestamp  seconds since 1970
    webhook-signature  "v1," base64(HMAC-SHA-256(secret, id "." timestamp "." body)), one for each secret

Where to is in an environment variable, and its secret in that variable's name with `_SECRET`: `whsec_` and base64 of at
least 24 bytes; two of them, with a space between, while one takes the other's place. TLS is verified against the
system's authorities, or those of `SSL_CERT_FILE`; without TLS only this machine is told. Redirects are not followed,
proxies not used. Of an answer the status is read; however long it is, little more is taken of it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ipaddress
import os
import re
import ssl
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from securemem.crypto.mac import hmac_sha256
from securemem.errors import ConfigurationError

SECONDS = 10.0
"""How long a server may take to answer."""
SECRET = "_SECRET"  # noqa: S105  (the end of a variable's name)
LEAST_SECRET_BYTES = 24

_LINGER_SECONDS = 1.0
_MOST_BYTES = 65536
_MOST_SECRETS = 2
_SECRET_PREFIX = "whsec_"  # noqa: S105  (what every secret begins with)
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r?\n")
_FIRST_FINAL = 200


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a recipient is told.

    Attributes:
        parts: of the URL, which may hold a token in its path.
        secrets: that it is signed with.
    """

    parts: SplitResult = field(repr=False)
    secrets: tuple[bytes, ...] = field(repr=False)


class Webhook(NamedTuple):
    """What is sent."""

    id: str
    timestamp: int
    body: bytes


class Reply(NamedTuple):
    """What came of it: the status, or None and why there is none."""

    status: int | None
    why: str = ""


def endpoint_of(variable: str) -> Endpoint:
    """Give the endpoint that an environment variable names.

    Raises:
        ConfigurationError: it or its secret is missing, or cannot be used; names the variable, never its value.
    """
    url = os.environ.get(variable, "")
    if not url:
        raise ConfigurationError(f"{variable} is not set: it holds the URL that a recipient is told at")
    parts = _parts(url, variable)
    secrets = os.environ.get(f"{variable}{SECRET}", "").split()
    if not 1 <= len(secrets) <= _MOST_SECRETS:
        raise ConfigurationError(f"{variable}{SECRET} has to hold one secret, or two with a space between")
    return Endpoint(parts, tuple(_secret(each, f"{variable}{SECRET}") for each in secrets))


def _parts(url: str, variable: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        is_usable = url.isascii() and url.isprintable() and " " not in url and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.scheme not in ("https", "http"):
        raise ConfigurationError(f"{variable} holds no URL such as https://host/path")
    if "@" in parts.netloc:
        raise ConfigurationError(f"{variable}: no user and password belong into a URL; a webhook is signed instead")
    if parts.scheme == "http" and not _is_here(parts.hostname or ""):
        raise ConfigurationError(f"{variable}: only https leaves this machine")
    return parts


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _secret(text: str, variable: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        secret = b""
    if not text.startswith(_SECRET_PREFIX) or len(secret) < LEAST_SECRET_BYTES:
        raise ConfigurationError(f"{variable}: a secret is whsec_ and base64 of at least {LEAST_SECRET_BYTES} bytes")
    return secret


def signed_headers(webhook: Webhook, secrets: tuple[bytes, ...]) -> dict[str, str]:
    """Give the headers by which a receiver knows who sent it, and that it is not an old one sent again."""
    signed = f"{webhook.id}.{webhook.timestamp}.".encode() + webhook.body
    signatures = [f"v1,{base64.b64encode(hmac_sha256(secret, signed)).decode()}" for secret in secrets]
    return {
        "webhook-id": webhook.id,
        "webhook-timestamp": str(webhook.timestamp),
        "webhook-signature": " ".join(signatures),
    }


async def send(endpoint: Endpoint, webhook: Webhook) -> Reply:
    """POST a webhook, once, and give what came of it; no server makes this fail, or last."""
    try:
        async with asyncio.timeout(SECONDS) as limit:
            return Reply(await _post(endpoint, webhook, limit))
    except TimeoutError:
        return Reply(None, f"no answer within {SECONDS:.0f} seconds")
    except ssl.SSLCertVerificationError as exc:
        return Reply(None, f"its certificate is not trusted ({exc.verify_message})")
    except (OSError, ValueError) as exc:
        return Reply(None, f"no answer that could be read ({type(exc).__name__})")


async def _post(endpoint: Endpoint, webhook: Webhook, limit: asyncio.Timeout) -> int:
    parts = endpoint.parts
    tls = await asyncio.to_thread(ssl.create_default_context) if parts.scheme == "https" else None
    port = parts.port or (443 if tls is not None else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls, limit=_MOST_BYTES)
    try:
        writer.write(_written(endpoint, webhook))
        await writer.drain()
        status = await _status(reader)
        limit.reschedule(None)
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await _linger(reader)
        return status
    finally:
        writer.transport.abort()


def _written(endpoint: Endpoint, webhook: Webhook) -> bytes:
    parts = endpoint.parts
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(webhook.body)),
        "Connection": "close",
        "User-Agent": "securemem",
        **signed_headers(webhook, endpoint.secrets),
    }
    lines = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + webhook.body


async def _status(reader: asyncio.StreamReader) -> int:
    """Read the status of the answer itself, past those that only say that it is on its way (1xx).

    Raises:
        ValueError: what comes is no answer in HTTP/1.
    """
    while True:
        match = _STATUS.fullmatch(await reader.readline())
        if match is None:
            raise ValueError("no status line")
        status = int(match.group(1))
        if status >= _FIRST_FINAL:
            return status
        while (await reader.readline()).strip(b"\r\n"):
            pass


async def _linger(reader: asyncio.StreamReader) -> None:
    """Take a short answer to its end, so that its server sees no connection break off."""
    left = _MOST_BYTES
    while left > 0 and (piece := await reader.read(left)):
        left -= len(piece)
