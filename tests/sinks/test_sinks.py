"""Every place for checkpoints passes the contract, and says what is wrong where one does not answer as it should."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from securemem.adapters import make_sink
from securemem.errors import BackendUnavailableError, ConfigurationError
from securemem.ports import AuditSink
from securemem.sinks import web
from securemem.sinks.file import FileSink
from securemem.sinks.s3 import Credentials, S3Sink, signed
from securemem.sinks.web import Request, WebSink
from securemem.testing import AuditSinkContract
from securemem.testing.sink import ORIGIN, ConnectSink, make_note

from .server import Kept, kept

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}


@pytest.fixture
def server() -> Iterator[Kept]:
    """Give a server on this machine."""
    with kept() as server:
        yield server


class TestFileSink(AuditSinkContract):
    """Over one file."""

    @pytest.fixture
    def connect(self, tmp_path: Path) -> ConnectSink:
        """Give sinks over one file."""
        return lambda: FileSink(tmp_path / "audit.notes")


class TestWebSink(AuditSinkContract):
    """Over a server on this machine."""

    @pytest.fixture
    def connect(self, server: Kept) -> ConnectSink:
        """Give sinks below one address."""
        return lambda: WebSink(f"{server.url}/checkpoints")


class TestS3Sink(AuditSinkContract):
    """Over a bucket on this machine."""

    @pytest.fixture
    def connect(self, server: Kept) -> ConnectSink:
        """Give sinks below one prefix."""
        return lambda: S3Sink(f"s3://bucket/a prefix?endpoint={server.url}&region=eu-central-1", KEYS)


async def test_a_note_that_was_cut_off_hides_no_other(tmp_path: Path) -> None:
    """At whatever byte a crash cut one off, those before and after it are read, and nothing is taken away."""
    path, whole = tmp_path / "audit.notes", make_note(2).encode()
    for cut in range(len(whole)):
        path.write_bytes(make_note(1).encode() + b"\n" + whole[:cut])
        await FileSink(path).put(ORIGIN, 3, make_note(3))
        assert await FileSink(path).notes(ORIGIN) == [make_note(1), make_note(3)]
        assert path.read_bytes().startswith(make_note(1).encode() + b"\n" + whole[:cut])


async def test_many_processes_append_to_one_file(tmp_path: Path) -> None:
    """What is put down at once is all there."""
    sinks = [FileSink(tmp_path / "audit.notes") for _ in range(4)]
    await asyncio.gather(*(sink.put(ORIGIN, size, make_note(size)) for size in range(1, 20) for sink in sinks))
    assert sorted(await sinks[0].notes(ORIGIN)) == sorted(make_note(size) for size in range(1, 20) for _ in sinks)


async def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A folder that is not there, and one where a file should be."""
    with pytest.raises(BackendUnavailableError, match=r"cannot be written"):
        await FileSink(tmp_path / "nowhere" / "audit.notes").put(ORIGIN, 1, make_note(1))
    with pytest.raises(BackendUnavailableError, match="cannot be read"):
        await FileSink(tmp_path).notes(ORIGIN)


@pytest.fixture(params=["web", "s3"])
def sink(request: pytest.FixtureRequest, server: Kept) -> AuditSink:
    """Give each sink that lies on a server."""
    return WebSink(server.url) if request.param == "web" else S3Sink(f"s3://bucket?endpoint={server.url}", KEYS)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, ConfigurationError),
        (401, ConfigurationError),
        (500, BackendUnavailableError),
        (302, BackendUnavailableError),
    ],
)
async def test_a_server_that_refuses_is_told_from_one_that_fails(
    server: Kept, sink: AuditSink, status: int, error: type[Exception]
) -> None:
    """Credentials are a matter of settings, all else may pass; redirects are not followed. The control is put down."""
    await sink.put(ORIGIN, 1, make_note(1))
    server.status = status
    with pytest.raises(error, match=str(status)):
        await sink.put(ORIGIN, 2, make_note(2))
    with pytest.raises(error, match=str(status)):
        await sink.notes(ORIGIN)


async def test_a_server_that_is_not_there_is_unavailable(sink: AuditSink, server: Kept) -> None:
    """And so is one whose answers never end."""
    server.flood = True
    with pytest.raises(BackendUnavailableError, match="does not answer as"):
        await sink.notes(ORIGIN)
    with pytest.raises(BackendUnavailableError, match="does not answer as"):
        await WebSink("http://127.0.0.1:1").notes(ORIGIN)


async def test_a_server_that_drips_is_not_waited_for(
    server: Kept, sink: AuditSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer has to be whole in its time."""
    monkeypatch.setattr(web, "SECONDS", 0.05)
    monkeypatch.setattr(web, "MOST_BYTES", 1 << 40)
    server.flood = True
    with pytest.raises(BackendUnavailableError, match="does not answer as"):
        await sink.notes(ORIGIN)


async def test_a_token_is_sent(server: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the environment, and none where there is none."""
    await WebSink(server.url).put(ORIGIN, 1, make_note(1))
    monkeypatch.setenv("SECUREMEM_AUDIT_TOKEN", "let-me-in")
    await WebSink(server.url).put(ORIGIN, 1, make_note(1))
    assert server.authorized == [None, "Bearer let-me-in"]


async def test_more_notes_than_a_page_are_listed(server: Kept) -> None:
    """A bucket is listed to its end."""
    sink = S3Sink(f"s3://bucket?endpoint={server.url}", KEYS)
    for size in range(1, 1100):
        name = f"/bucket/{ORIGIN}/{2**63 - 1 - size:016x}-{size}.note"
        server.objects[name] = make_note(size % 200).encode()
    assert len(await sink.notes(ORIGIN)) == 1099


def test_requests_are_signed_as_amazon_has_it() -> None:
    """The example "GET Bucket (List Objects)" of Amazon's documentation of Signature Version 4."""
    request = Request("GET", "https://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J", {})
    who = Credentials(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"])
    mark = signed(request, "us-east-1", who, datetime(2013, 5, 24, tzinfo=UTC)).headers["Authorization"]
    assert mark.endswith("Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/",
        "audit.notes",
        "file://",
        "https:///path",
        "https://host/path?query=1",
        "https://user:password@host/",
        "s3://",
        "s3://UPPER/",
        "s3://bucket?surplus=1",
    ],
)
def test_places_that_cannot_be_are_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is put down; the control is a bucket that can be."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert isinstance(make_sink("s3://bucket"), S3Sink)
    with pytest.raises(ConfigurationError):
        make_sink(url)


def test_a_bucket_wants_credentials() -> None:
    """And says which."""
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        S3Sink("s3://bucket", {})
