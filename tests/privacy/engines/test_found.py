"""What the engine finds, by known answers: each line is a text with what is to be found in double angle brackets."""

from __future__ import annotations

import re

import pytest

from .asking import found

FOUND = {
    "EMAIL_ADDRESS": [
        "write to «jane.doe+news@mail.example.co.uk».",
        "mailto:«a@b.de»?subject=x",
        '{"to": "«o\'brien@example.com»"}',
        "«Jane_Doe@EXAMPLE.COM», «bob@example.org»",
        "<«jürgen@müller.de»> «用户@例子.广告»",
        "«x@xn--bcher-kva.example» and «user@sub.domain.travel»!",
        '«"john doe"@example.com» wrote',
        "at «root@[192.168.2.1]» or /users?mail=«jane%40example.com»&x=1",
        "«ja\u200bne@exam\u00adple.com»",
    ],
    "CREDIT_CARD": [
        "card «4111 1111 1111 1111» 12/26",
        "«5500-0000-0000-0004»,«340000000000009»",
        "Visa «4222222222222» expired",
        "«3530111333300000»; «6011000990139424»; «30569309025904»",
        "my Maestro card «6759649826438453» and card number «630427373398»",
        '{"card_number": "«2223003122003222»"}',
        "«3714 496353 98431» «3782 822463 10005»",
        "«4111\u00a01111\u00a01111\u00a01111»",
        "«4111\u20111111\u20111111\u20111111» and «41111\u200b11111111111»",
    ],
    "IBAN_CODE": [
        "IBAN «DE89 3704 0044 0532 0130 00» please",
        "«GB29NWBK60161331926819» «FR14 2004 1010 0505 0001 3M02 606»",
        "«nl91abna0417164300».",
        "«NO93 8601 1117 947» and «MT84 MALT 0110 0001 2345 MTLC AST0 01S»",
        "«CH93-0076-2011-6238-5295-7»",
    ],
    "US_SSN": [
        "SSN «212-34-5678»",
        "my social security number is «212345678»",
        "ssn: «212 34 5678», «853-37-1694»",
        "«212\u201134\u20115678»",
    ],
    "IP_ADDRESS": [
        "from «203.0.113.7»:8080 to «10.0.0.1»/24.",
        "[«2001:db8::8a2e:370:7334»]:443",
        "«fe80::1ff:fe23:4567:890a»%eth0 «6e40:4041:c617:e898:c11:40d2:c669:2eb4»",
        "«::ffff:192.0.2.128» and «2001:db8::1».",
        'ip="«198.51.100.23»"',
    ],
    "MAC_ADDRESS": ["eth0 «00:1A:2b:3C:4d:5E», «00-1a-2b-3c-4d-5f»", "MAC «0011.2233.4455»"],
    "URL": [
        "see «https://example.com/a_(b)?q=1#x».",
        "(«http://www.example.de/»), «www.example.com/path»!",
        "«HTTPS://EXAMPLE.COM» «ftp://host/file.txt» «http://müller.de/straße»",
        "at «example.com» or «shop.example.co.uk/x?y=1», «bit.ly/3abcD»",
        "[text](«https://example.com/x»)",
        "«http://localhost:8000/v1»",
    ],
    "PHONE_NUMBER": [
        "+ is «+44 20 7946 0958», or «+1 (555) 123-4567 ext. 89»",
        "«+49 (0)30 901820», «+33 1 42 68 53 00» «+91 98765 43210»",
        "call «(617) 555-0182» or «617.555.0182x45»",
        "«001-253-366-9781» or «0044 20 7946 0958»",
        "«01 42 68 53 00» | «030 / 9018 2000» | «0161 496 0123» | «07700900123»",
        "tel: «555-0199», Fax:\n«9498777106»\n",
        "phone «467 3395», call me at «78 651 450»",
        "«(08) 8747 6301» and «(11) 98765-4321»",
        '{"phone": "«6175550182»", "mobile_number": "«98765432»"}',
        "Mobile: «723 813 266»\nDesk: «0688 843 79 56»",
        "«+1\u2011617\u2011555\u20110182»",
        "WhatsApp: «+55 11 91234-5678»; «+86 138 1234 5678»; «+81 3-1234-5678»",
        "Tel. «0211 / 123 45 67» (Herr Ott), «+41 44 668 18 00»",
    ],
}

UNDIVIDED = {
    "EMAIL_ADDRESS": "我的邮箱是«jane@example.com»。",
    "CREDIT_CARD": "卡号«4111111111111111»到期",
    "PHONE_NUMBER": "电话«+86 138 1234 5678»または",
    "IBAN_CODE": "口座«DE89370400440532013000»です",
    "IP_ADDRESS": "来自«203.0.113.7»的请求",
    "SECRET": "密码是hunter2。密码:«hunter2»。",
}
OTHER_DIGITS = {"wide": 0xFF10, "Arabic": 0x0660, "Devanagari": 0x0966, "Thai": 0x0E50}


@pytest.mark.parametrize(
    ("entity", "marked"), [(entity, marked) for entity, texts in FOUND.items() for marked in texts]
)
def test_what_is_marked_is_found(entity: str, marked: str) -> None:
    """Of each entity alone what is marked is found, and nothing else."""
    text = marked.replace("«", "").replace("»", "")
    assert found(text, entity) == re.findall(r"«(.*?)»", marked)


@pytest.mark.parametrize("entity", UNDIVIDED)
def test_words_need_no_blanks_between_them(entity: str) -> None:
    """In a script that sets no blanks a value ends where its own letters and digits do."""
    pieces = UNDIVIDED[entity].replace("»", "«").split("«")
    assert found("".join(pieces), entity) == [pieces[1]]


@pytest.mark.parametrize("zero", OTHER_DIGITS.values(), ids=OTHER_DIGITS)
@pytest.mark.parametrize("value", ["4111 1111 1111 1111", "+44 20 7946 0958"])
def test_digits_of_other_scripts_are_digits(value: str, zero: int) -> None:
    """A card and a telephone number are found whatever script their digits are of."""
    other = value.translate({ord("0") + digit: zero + digit for digit in range(10)})
    assert found(f"it is {other}.", "CREDIT_CARD", "PHONE_NUMBER") == [other]


def test_wide_letters_are_letters() -> None:
    """An address in full-width characters is found."""
    wide = "".join(chr(ord(char) + 0xFEE0) for char in "jane@example.com")
    assert found(f"write to {wide}", "EMAIL_ADDRESS") == [wide]
