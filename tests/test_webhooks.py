"""A webhook against servers that take it, refuse it, never end, flood, or are not who they should be."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time

import pytest

from securemem import ConfigurationError, webhooks
from securemem.testing.servers import Tls
from securemem.webhooks import Endpoint, Reply, Webhook, endpoint_of, send, signed_headers
from tests.retention.receivers import (
    OLD_SECRET,
    SECRET,
    Behaviour,
    Receiver,
    answers,
    floods,
    is_signed,
    is_silent,
    never_ends,
    one_long_line,
    only_promises,
    receiver,
    speaks_otherwise,
)

WEBHOOK = Webhook("msg_1", 1_700_000_000, b'{"type":"person.erased"}')


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the recipient a secret."""
    monkeypatch.setenv("CRM_URL_SECRET", SECRET)


def named(monkeypatch: pytest.MonkeyPatch, url: str) -> Endpoint:
    """Give the endpoint of a URL."""
    monkeypatch.setenv("CRM_URL", url)
    return endpoint_of("CRM_URL")


def server_side(tls: Tls) -> ssl.SSLContext:
    """Give a server's half of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    return context


@pytest.mark.parametrize(
    ("behaviour", "status"),
    [
        (answers(200), 200),
        (answers(204), 204),
        (answers(500), 500),
        (answers(200, more="X: y\r\n"), 200),
        (never_ends, 200),
        (floods, 200),
        (is_silent, None),
        (only_promises, None),
        (one_long_line, None),
        (speaks_otherwise, None),
    ],
)
async def test_only_the_status_counts(
    monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, status: int | None
) -> None:
    """However it answers, sending ends soon, with its status or with why there is none."""
    monkeypatch.setattr(webhooks, "SECONDS", 1.0)
    async with receiver(behaviour) as server:
        begun = time.monotonic()
        reply = await send(named(monkeypatch, server.url), WEBHOOK)
        assert time.monotonic() - begun < 5
        assert (reply.status, bool(reply.why)) == (status, status is None)
        [came] = server.came
        assert (came.line, came.body) == ("POST /erase?from=us HTTP/1.1", WEBHOOK.body)
        assert is_signed(came, SECRET)


async def test_what_is_on_its_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer behind two that only announce it is the one that counts."""

    async def announces(_: Receiver, writer: asyncio.StreamWriter) -> None:
        for line in ("100 Continue\r\n", "103 Early Hints\r\nLink: </a>\r\n", "202 Accepted\r\n"):
            writer.write(f"HTTP/1.1 {line}\r\n".encode())

    async with receiver(announces) as server:
        assert await send(named(monkeypatch, server.url), WEBHOOK) == Reply(202)


async def test_a_redirect_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing reaches the place that it points at."""
    async with receiver(answers(200)) as other, receiver(answers(307, more=f"Location: {other.url}\r\n")) as server:
        assert (await send(named(monkeypatch, server.url), WEBHOOK)).status == 307
        assert other.came == []


async def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is an answer that did not come."""
    async with receiver(answers(200)) as server:
        url = server.url
    reply = await send(named(monkeypatch, url), WEBHOOK)
    assert (reply.status, reply.why) == (None, "no answer that could be read (ConnectionRefusedError)")


async def test_tls_is_verified(monkeypatch: pytest.MonkeyPatch, tls: Tls, other_tls: Tls) -> None:
    """A certificate of an authority in SSL_CERT_FILE is trusted; one that is not sees nothing of what is sent."""
    async with receiver(answers(200), tls=server_side(tls)) as server:
        for authority, status in ((other_tls.authority, None), (tls.authority, 200)):
            monkeypatch.setenv("SSL_CERT_FILE", str(authority))
            reply = await send(named(monkeypatch, server.url), WEBHOOK)
            assert reply.status == status
            assert status is not None or reply.why.startswith("its certificate is not trusted")
        assert len(server.came) == 1


def test_two_secrets_sign_both() -> None:
    """The published example verifies, and each secret has its signature."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = Webhook("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    [one, two] = signed_headers(sent, (key, bytes(24)))["webhook-signature"].split(" ")
    assert one == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert two.startswith("v1,")
    assert two != one


@pytest.mark.parametrize(
    "url",
    [
        "",
        "crm.example/erase",
        "ftp://crm.example/erase",
        "http://crm.example/erase",
        "http://10.0.0.1/erase",
        "https://us:pass@crm.example/erase",
        "https://crm.example/a b",
        "https://crm.example/a\r\nX: y",
        "https://crm.example:99999/",
        "https:///erase",
        "https://[::1/",
    ],
)
def test_urls_that_are_none(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The variable is named, and its value is not."""
    with pytest.raises(ConfigurationError, match="CRM_URL") as caught:
        named(monkeypatch, url)
    assert not url or url not in str(caught.value)


@pytest.mark.parametrize(
    "secret", ["", "abc", SECRET.removeprefix("whsec_"), "whsec_" + base64.b64encode(bytes(23)).decode(), "whsec_?!"]
)
def test_secrets_that_are_none(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """Likewise; a third secret, or one that is too short, is refused too."""
    for value in (secret, f"{SECRET} {OLD_SECRET} {SECRET}", f"{SECRET} {secret or 'x'}"):
        monkeypatch.setenv("CRM_URL_SECRET", value)
        with pytest.raises(ConfigurationError, match="CRM_URL_SECRET") as caught:
            named(monkeypatch, "https://crm.example/")
        assert SECRET not in str(caught.value)


def test_an_endpoint_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a token in the path nor the secret is in its repr."""
    shown = repr(named(monkeypatch, "https://crm.example/token-1"))
    assert "token-1" not in shown
    assert "0123456789" not in shown
