"""Secrets: by their issuers' forms and by the words before them. None is real, and each is put together here."""

from __future__ import annotations

import base64
import random
import re
import string

import pytest

from securemem.privacy.engines.patterns.offers import rows_of

from .asking import found

_DRAW = random.Random(4)
_ALNUM = string.ascii_letters + string.digits
_HEX = "0123456789abcdef"


def _of(alphabet: str, length: int) -> str:
    return "".join(_DRAW.choice(alphabet) for _ in range(length - 1)) + "7"


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


TOKENS = {
    "AWS": "AK" + "IA" + _of(string.ascii_uppercase + "234567", 16),
    "GitHub": "gh" + "p_" + _of(_ALNUM, 36),
    "GitHub fine": "github" + "_pat_" + _of(_ALNUM, 82),
    "GitLab": "gl" + "pat-" + _of(_ALNUM, 20),
    "Slack": "xo" + "xb-" + _of(string.digits, 12) + "-" + _of(string.digits, 12) + "-" + _of(_ALNUM, 24),
    "OpenAI": "s" + "k-proj-" + _of(_ALNUM, 48),
    "Anthropic": "s" + "k-ant-api03-" + _of(_ALNUM, 93) + "AA",
    "Stripe": "sk" + "_live_" + _of(_ALNUM, 24),
    "Google": "AI" + "za" + _of(_ALNUM, 35),
    "SendGrid": "S" + "G." + _of(_ALNUM, 22) + "." + _of(_ALNUM, 43),
    "Twilio": "S" + "K" + _of(_HEX, 32),
    "npm": "np" + "m_" + _of(_ALNUM, 36),
    "PyPI": "py" + "pi-AgEIcHlwaS5vcmc" + _of(_ALNUM, 60),
    "Hugging Face": "h" + "f_" + _of(_ALNUM, 34),
    "DigitalOcean": "do" + "p_v1_" + _of(_HEX, 64),
    "Shopify": "sh" + "pat_" + _of(_HEX, 32),
    "Telegram": _of(string.digits, 10) + ":A" + "A" + _of(_ALNUM, 33),
    "Databricks": "da" + "pi" + _of(_HEX, 32),
    "Vault": "hv" + "s." + _of(_ALNUM, 95),
    "Azure": "aB3" + "8Q" + "~" + _of(_ALNUM, 34),
    "Mailgun": "ke" + "y-" + _of(_HEX, 32),
    "Linear": "lin" + "_api_" + _of(_ALNUM, 40),
    "Slack hook": "hooks.slack.com/services/T" + _of(string.digits, 8) + "/B" + _of(_ALNUM, 8) + "/" + _of(_ALNUM, 24),
    "JWT": ".".join((_b64('{"alg":"HS256"}'), _b64('{"sub":"1234567890"}'), _of(_ALNUM, 43))),
    "PEM": f"-----BEGIN RSA PRIVATE KEY-----\n{_of(_ALNUM, 64)}\n{_of(_ALNUM, 20)}==\n-----END RSA PRIVATE KEY-----",
}
ASSIGNED = (
    "PASSWORD=«hunter2»",
    "password: «sunshine»",
    "my password is «sunshine».",
    "The password is «Tr0ub4dor&3», ok?",
    "DB_PASSWORD='«p@ss w0rd»'",
    '{"password": "«hunter2»", "x": 1}',
    '{\\"password\\": \\"«hunter2»\\"}',
    "Server=x;Pwd=«abc123»;",
    "postgres://user:«s3cr3t»@db/x",
    "redis://:«p4ssw0rd»@localhost:6379/0",
    "https://bob:«secret»@example.com/",
    "Authorization: Bearer «abcDEF123456ghiJKL»",
    "Authorization: Basic «dXNlcjpwYXNz»",
    "api_key = '«a1b2c3d4e5f6g7h8»'",
    'client_secret: "«8fGh3kLm9qRt2xYz»"',
    "the wifi password is «correct-horse-battery»",
    "Passwort: «geheim123»; mot de passe : «azerty12»",
    "La contraseña es «abc12345»",
    "密码: «abc12345» пароль: «qwerty77»",
    "password for the prod db is «Winter2024!»",
    "mysql --password=«foo123» -u root",
    "curl -u admin:«s3cret» http://x",
    "PIN is «4821», cvv: «123»; CVC «456»",
    "login with password «hunter2» please",
    "seed phrase: «" + "apple " * 11 + "zebra»",
)
PLAIN = (
    "the password is wrong",
    "Your password is required",
    "password: str",
    "password=None",
    "def f(password, token=None):",
    "password = getpass.getpass()",
    "token = tokenizer.next()",
    "connect(password=password)",
    "token: the token to parse",
    "the secret is safe with me",
    "password is stored in the vault",
    "PASSWORD=${PASSWORD}",
    "password: <your password>",
    "password: ********",
    "max_tokens: 4000",
    '"next_page_token": "CAUQAA123abc"',
    "reset your password to continue",
    '"password": {"type": "string"}',
    "password must be at least 8 characters",
    "password: hashed value of it",
    "an api key is required",
    "this.password = form.password",
    "https://user:${PASSWORD}@host/",
    "basic functionality and bearer of news",
    "passwords are compared, passed and forgotten",
)


@pytest.mark.parametrize("issuer", TOKENS)
@pytest.mark.parametrize("around", ["{}", "token {} here", 'KEY="{}",', "see {}."])
def test_tokens_are_found_by_their_form(issuer: str, around: str) -> None:
    """A token is one span from its first to its last character, whatever stands around it."""
    token = TOKENS[issuer]
    assert found(around.format(token), "SECRET") == [token]


@pytest.mark.parametrize("marked", ASSIGNED)
def test_secrets_are_found_by_the_words_before_them(marked: str) -> None:
    """What is marked is found: no quotes, no punctuation behind it."""
    text = marked.replace("«", "").replace("»", "")
    assert found(text, "SECRET") == re.findall(r"«(.*?)»", marked)


@pytest.mark.parametrize("text", PLAIN)
def test_speech_code_and_placeholders_are_no_secrets(text: str) -> None:
    """Nothing is found where no secret is told."""
    assert found(text, "SECRET") == []


def test_a_secret_wins_over_what_it_stands_in() -> None:
    """Of a URL with a password the password is a secret, and the rest stays a URL."""
    text = "https://bob:s3cret@example.com/x"
    assert found(text) == ["https://bob:", "s3cret", "@example.com/x"]
    assert found(text, "SECRET") == ["s3cret"]
    assert found("PASSWORD=ada@example.org") == ["ada@example.org"]


def test_there_are_the_families_that_scanners_know() -> None:
    """Over eighty forms."""
    assert len(rows_of("SECRET")) > 80
