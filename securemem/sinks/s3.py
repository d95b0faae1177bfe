"""Checkpoints in an S3-compatible bucket (`s3://bucket/prefix?endpoint=https://…&region=…`).

Each note is an object of its own, `prefix/origin/<2^63 - 1 - size in 16 hex digits>-<size>.note`, so that a listing
gives the newest first. Requests are signed with AWS Signature Version 4 by `AWS_ACCESS_KEY_ID`,
`AWS_SECRET_ACCESS_KEY` and, if set, `AWS_SESSION_TOKEN`; the bucket stands in the path. A bucket with object lock keeps
what was put there.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from html import unescape
from typing import NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from securemem.config import parted
from securemem.crypto.note import notes_in
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.sinks.web import Request, ask
from securemem.together import few_at_once

_OPTIONS = frozenset({"endpoint", "region"})
_LAST = 2**63 - 1
_PAGE = 1000
_KEY = re.compile(r"<Key>([^<]*)</Key>")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")


class Credentials(NamedTuple):
    """Who asks."""

    key: str
    secret: str
    token: str | None = None


def signed(request: Request, region: str, who: Credentials, now: datetime) -> Request:
    """Give a request with the headers of AWS Signature Version 4; its path and query are to be encoded already."""
    parts = urlsplit(request.url)
    digest, at = hashlib.sha256(request.body).hexdigest(), f"{now:%Y%m%dT%H%M%SZ}"
    headers = {"host": parts.netloc, "x-amz-content-sha256": digest, "x-amz-date": at}
    headers |= {"x-amz-security-token": who.token} if who.token else {}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
    canonical = f"{request.method}\n{parts.path}\n{query}\n{lines}\n{names}\n{digest}"
    scope = f"{now:%Y%m%d}/{region}/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{who.secret}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.digest(key, part.encode(), "sha256")
    mark = f"AWS4-HMAC-SHA256 Credential={who.key}/{scope},SignedHeaders={names},Signature={key.hex()}"
    return request._replace(headers={**request.headers, **headers, "Authorization": mark})


class S3Sink:
    """Notes in one bucket, below a prefix."""

    def __init__(self, url: str, environment: Mapping[str, str] = os.environ) -> None:
        """Name the bucket.

        Raises:
            ConfigurationError: it is not named so, or there are no credentials.
        """
        place, query = parted(url)
        bucket, _, prefix = place.removeprefix("s3://").partition("/")
        if not _BUCKET.match(bucket) or query.keys() - _OPTIONS:
            raise ConfigurationError("a bucket is named as s3://bucket/prefix?endpoint=https://…&region=…")
        self._region = query.get("region") or environment.get("AWS_REGION") or "us-east-1"
        endpoint = query.get("endpoint") or f"https://s3.{self._region}.amazonaws.com"
        self._bucket = f"{endpoint.rstrip('/')}/{bucket}"
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            raise ConfigurationError("s3:// wants AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        self._who = Credentials(key, secret, environment.get("AWS_SESSION_TOKEN"))

    async def put(self, origin: str, size: int, note: str) -> None:
        """As `ports.AuditSink`."""
        name = f"{self._prefix}{origin}/{_LAST - size:016x}-{size}.note"
        await self._ask(Request("PUT", f"{self._bucket}/{quote(name)}", {}, note.encode()))

    async def notes(self, origin: str, limit: int | None = None) -> list[str]:
        """As `ports.AuditSink`."""
        names = await self._names(f"{self._prefix}{origin}/", limit)
        bodies = await few_at_once(names, lambda name: self._ask(Request("GET", f"{self._bucket}/{quote(name)}", {})))
        return [note for body in reversed(bodies) for note in notes_in((body or b"").decode(errors="replace"), origin)]

    async def _names(self, prefix: str, limit: int | None) -> list[str]:
        """Give the names of objects, the newest note's first."""
        names: list[str] = []
        after = ""
        while limit is None or len(names) < limit:
            most = _PAGE if limit is None else min(_PAGE, limit - len(names))
            query = {"list-type": "2", "max-keys": str(most), "prefix": prefix} | (
                {"start-after": after} if after else {}
            )
            answer = await self._ask(Request("GET", f"{self._bucket}?{urlencode(query, quote_via=quote, safe='')}", {}))
            page = _keys(answer or b"")
            names += [name for name in page if name.endswith(".note")]
            if len(page) < most:
                break
            after = page[-1]
        return names

    async def _ask(self, request: Request) -> bytes | None:
        return await ask(signed(request, self._region, self._who, datetime.now(UTC)))


def _keys(listing: bytes) -> list[str]:
    text = listing.decode(errors="replace")
    if "<ListBucketResult" not in text:
        raise BackendUnavailableError("the bucket's listing is none: look at the endpoint")
    return [unescape(name) for name in _KEY.findall(text)]
