"""SECRET, by the words before it: `PASSWORD=…`, `"api_key": "…"`, `my password is …`, `Bearer …`, `user:…@host`.

A value is what stands there, without its quotes and without the punctuation behind it. What is code (`password: str`,
`token = get_token()`), a placeholder (`<password>`, `${TOKEN}`, `****`) or plain speech ("the password is wrong") is
none. A password may be any word; a key or a token has to look like one.
"""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from math import log2
from typing import Final

from securemem.privacy.engines.patterns.expression import Expression
from securemem.privacy.engines.patterns.pattern import CHECKED, SHAPED, TOLD, Pattern
from securemem.privacy.engines.patterns.views import ASSIGNED, digits, low, spoken

_NAMES: Final = r"(?:pass(?:words?|wd|wort|code|phrase|word[_ -]?hash|key|e|(?=\\?[\"']?\s?[:=]))|pwd|psw)"
_NAMES_ELSEWHERE: Final = (
    r"(?:mdp|contrase(?:ñ|n)a|kennwort|senha|wachtwoord|l[öo]senord|has[łl]o|salasana|парол[ья]|パスワード|密码|"
    r"비밀번호)"
)
_IS: Final = (
    r"(?: (?:is|was|will be|should be|has been set to|is set to|as|ist|lautet|est|es|è|é|jest|on)|:| ?=| ?-)"
    r"(?: (?:now|currently|still|just|simply|set to))?:?"
)
_NAMES_OF_KEYS: Final = (
    r"(?:(?:api|app|auth|access|secret|private|encryption|signing|master|account|client|service|license|session|"
    r"webhook|consumer|deploy|storage|admin|bot|refresh|id|shared)[ _.-]?(?:secret[ _.-]?)?(?:access[ _.-]?)?"
    r"(?:key|token|secret)|(?<!page)(?<!page[_-])(?<!next)(?<!next[_-])(?<!continuation)(?<!continuation[_-])"
    r"(?<!cursor[_-])token|secret|credentials?|passkey|sessionid|session_id|phpsessid|jsessionid|sig)"
)
_SUFFIX: Final = r"(?:[_-]?(?:key|token|secret|value|hash|base|[0-9]{1,2}|prod|dev|live|test))?"
_ASSIGNS: Final = r"\\?[\"'`]?\]?[ \t]{0,8}(?::=|=>|===?|[:=])[ \t]{0,8}(?:\r?\n[ \t]{0,8})?"
_OF_WHAT: Final = r"(?: (?:for|to|of|on|in|at|from|here|there)\b[^\n.:;=!?]{0,48}?)?(?: ?\([^)\n]{1,24}\))?"
_QUOTED: Final = (
    r"(?:\\?\"(?P<double>(?:[^\"\\\n]|\\[^\"\n]){1,256})\\?\"|'(?P<single>(?:[^'\\\n]|\\[^'\n]){1,256})'|"
    r"`(?P<back>[^`\n]{1,256})`|"
)
_BARE: Final = r"(?P<bare>[^\s\"'`,;<>(){}\[\]|。、]{3,256}))"

_TRAILING: Final = ".,;:?)]}>*_"
_CODE: Final = Expression(
    r"(?i)(?:[$%{<\[(@#&].*|.*[({].*|(?:[a-z_]\w*\.){1,6}[a-z_]\w*|[*x.•●-]{2,}|\.{2,}.*|\D*(?:passw|passwd|pwd|secret|token)\D*"
    r"|[a-z]+_[a-z_]+|\[?redacted\]?|(?:your|my|the|some|enter|new|old|change|insert|example|dummy|fake|sample)[_ -].*)"
)
_SPOKEN: Final = """
    a about across admin administrator after again all also always an another any anything are as ask at auth
    authentication authorization available bad based be because been before being blank bool boolean both but by bytes
    can cannot case case-sensitive change changed char click const continue correct could day days default different
    disabled does doubt each else empty enabled encrypted env erforderlich exactly example expired falsch field fine
    forgotten from function good had has hashed have he her here hidden his hour hours how if in incorrect incorrecta
    input insecure int integer into invalid is it its just kept known least length let letters like long longer lost
    management manager many masked may maybe might mine missing mixed more most must my need needed needs never new
    nil no none not nothing now null object obligatorio of off ok okay old on one only optional or our ours over page
    plain plaintext please policies policy probably prompt protected provided random really required requis reset
    return returned returns safe same saved saving screen secret secure self sensitive sent set shared she short
    should shown so some someone something still stored str string strength strong strongly text that the their theirs
    them then there they this those to today token too true two type undefined unavailable unknown unsafe unset until
    unused up updated us used user username using utf-8 valid value values var varchar very visible was we weak were
    what when where which while who whose why will with without word words would wrong yes yet you your yours
"""
_WORDS: Final = frozenset(_SPOKEN.split())
_SPOKEN_END: Final = ("ed", "ing", "ly", "able", "ible")
_BITS: Final = 2.8


def _bare_end(text: str, start: int, end: int) -> int:
    """Leave out the punctuation at a value's end, if no quote closes it."""
    if text[end : end + 1] in {'"', "'", "`"}:
        return end
    while end > start and text[end - 1] in _TRAILING:
        end -= 1
    return end


def assigned_end(text: str, start: int, end: int) -> int:
    """Tell passwords from code, placeholders and words of speech."""
    end = _bare_end(text, start, end)
    value = text[start:end]
    if len(value) < 3 or value.lower() in _WORDS or _CODE.compiled.fullmatch(value) or len(set(value)) == 1:  # noqa: PLR2004
        return start
    if not value.isalpha() or text[start - 1] in "\"'`=":
        return end
    return end if _ends_there(text, end) else start


def told_end(text: str, start: int, end: int) -> int:
    """Tell passwords from what is said about passwords."""
    end = _bare_end(text, start, end)
    value = text[start:end]
    plain = value.lower()
    if len(value) < 4 or plain in _WORDS or _CODE.compiled.fullmatch(value):  # noqa: PLR2004
        return start
    if not plain.replace("-", "").replace("'", "").replace("\u2019", "").isalpha():
        return end
    if plain.endswith(_SPOKEN_END) or not (_ends_there(text, end) or not value[1:].islower()):
        return start
    return end


def handed_end(text: str, start: int, end: int) -> int:
    """Tell passwords that follow the word itself: they have letters and digits, or signs among them."""
    end = told_end(text, start, end)
    value = text[start:end]
    has_digit, has_letter = any(char.isdigit() for char in value), any(char.isalpha() for char in value)
    return end if has_digit and has_letter and value.count("-") < 2 else start  # noqa: PLR2004


def key_end(text: str, start: int, end: int) -> int:
    """Tell keys from names: letters and digits, and no repetition (Shannon's entropy, as gitleaks has it)."""
    end = _bare_end(text, start, end)
    value = text[start:end]
    if len(value) < 8 or _CODE.compiled.fullmatch(value) or not any(char.isdigit() for char in value):  # noqa: PLR2004
        return start
    if not any(char.isalpha() for char in value) or " " in value or "://" in value or value[0] in "/.":
        return start
    return end if _entropy(value) >= _BITS else start


def basic_end(text: str, start: int, end: int) -> int:
    """Tell credentials of HTTP's Basic scheme (RFC 7617): they hold a colon."""
    try:
        held = b64decode(text[start:end] + "=" * (-(end - start) % 4))
    except ValueError:
        return start
    return end if b":" in held else start


def login_end(text: str, start: int, end: int) -> int:
    """Tell the password of a URL from what is to be put in its place."""
    value = text[start:end]
    is_code = _CODE.compiled.fullmatch(value) is not None and not value.isalnum()
    return start if is_code or value == value[0] * len(value) else end


def _entropy(value: str) -> float:
    return -sum(count / len(value) * log2(count / len(value)) for count in Counter(value).values())


def _ends_there(text: str, end: int) -> bool:
    """Tell whether a sentence or a line ends behind a word."""
    rest = text[end : end + 5]
    return not rest.strip() or rest[0] in "\n\r.,;!?)\"'" or rest.startswith((" and ", " & ", " but ", " ("))


_WORDS_BEFORE: Final = low("pass", "pwd", "psw")
_ELSEWHERE: Final = (
    spoken("mdp", "contraseña", "contrasena", "kennwort", "senha", "wachtwoord", "lösenord", "losenord", "hasło"),
    spoken("haslo", "salasana", "пароль", "пароля"),
)
_UNDIVIDED: Final = low("パスワード", "密码", "비밀번호")

ROWS: Final = (
    Pattern(
        name="password that is assigned",
        entity="SECRET",
        trigger=_WORDS_BEFORE,
        regex=rf"{_NAMES}{_SUFFIX}{_ASSIGNS}{_QUOTED}{_BARE}",
        lower=True,
        check=assigned_end,
        score=SHAPED,
    ),
    Pattern(
        name="password that is told",
        entity="SECRET",
        trigger=_WORDS_BEFORE,
        regex=rf"{_NAMES}{_OF_WHAT}{_IS} {_QUOTED}{_BARE}",
        lower=True,
        check=told_end,
        score=TOLD,
    ),
    Pattern(
        name="password that is handed over",
        entity="SECRET",
        trigger=_WORDS_BEFORE,
        regex=rf"{_NAMES}{_OF_WHAT}(?: to)? {_QUOTED}{_BARE}",
        lower=True,
        check=handed_end,
        score=TOLD,
    ),
    Pattern(
        name="password that is assigned, in other languages",
        entity="SECRET",
        trigger=ASSIGNED,
        also=(*_ELSEWHERE, _UNDIVIDED),
        regex=rf"{_NAMES_ELSEWHERE}{_SUFFIX}{_ASSIGNS}{_QUOTED}{_BARE}",
        lower=True,
        check=assigned_end,
        score=SHAPED,
    ),
    Pattern(
        name="password that is told, in other languages",
        entity="SECRET",
        trigger=digits(1),
        also=_ELSEWHERE,
        regex=rf"{_NAMES_ELSEWHERE}{_OF_WHAT}{_IS} {_QUOTED}{_BARE}",
        lower=True,
        check=told_end,
        score=TOLD,
    ),
    Pattern(
        name="password of a command",
        entity="SECRET",
        trigger=low("--"),
        also=(low("pass", "token", "secret", "key"),),
        regex=(
            r"--[a-z-]{0,16}(?:password|passwd|pass|token|secret|api-key|secret-key|access-key)[ =]"
            rf"{_QUOTED}{_BARE}"
        ),
        lower=True,
        check=assigned_end,
        score=SHAPED,
    ),
    Pattern(
        name="password of curl",
        entity="SECRET",
        trigger=ASSIGNED,
        also=(spoken("curl"),),
        regex=(
            r"\bcurl\b[^\n]{0,200}? (?:-u|--user|--proxy-user)[ =]?[\"']?[\w.@-]{1,64}:"
            rf"{_QUOTED}{_BARE}"
        ),
        lower=True,
        check=assigned_end,
        score=SHAPED,
    ),
    Pattern(
        name="key that is assigned",
        entity="SECRET",
        trigger=digits(1),
        also=(
            low("key", "token", "secret"),
            spoken("credential", "credentials", "sessionid", "session", "phpsessid", "jsessionid", "sig"),
        ),
        regex=rf"{_NAMES_OF_KEYS}{_SUFFIX}(?:{_ASSIGNS}| (?:is|was)(?: now)?:? ){_QUOTED}{_BARE}",
        lower=True,
        check=key_end,
        score=SHAPED,
    ),
    Pattern(
        name="token of HTTP (RFC 6750)",
        entity="SECRET",
        trigger=digits(1),
        also=(spoken("bearer", "authorization", "api", "auth"),),
        regex=(
            r"(?:\bbearer|authorization\\?[\"']?[ \t]{0,4}[:=][ \t]{0,4}\\?[\"']?(?:token|apikey|bot|key|bearer)|"
            r"\bx-(?:api-key|auth-token)\\?[\"']?[ \t]{0,4}[:=])[ \t]{0,4}\\?[\"']?(?P<token>[\w.~+/=:-]{12,4096})"
        ),
        lower=True,
        check=key_end,
        score=SHAPED,
    ),
    Pattern(
        name="login of HTTP (RFC 7617)",
        entity="SECRET",
        trigger=ASSIGNED,
        also=(spoken("basic"),),
        regex=r"\bbasic[ \t]{1,4}(?P<login>[A-Za-z0-9+/]{8,1024}={0,2})(?![\w+/=])",
        lower=True,
        check=basic_end,
        score=CHECKED,
    ),
    Pattern(
        name="password in a URL (RFC 3986, 3.2.1)",
        entity="SECRET",
        trigger=ASSIGNED,
        also=(low("://"),),
        regex=r"://[^\s/:@\"'<>?#]{0,128}:(?P<login>[^\s/@\"'<>]{1,256})@[\w\[%.{$-]",
        check=login_end,
        score=CHECKED,
    ),
    Pattern(
        name="number that proves who one is",
        entity="SECRET",
        trigger=digits(3),
        also=(spoken("pin", "cvv", "cvc", "cvn", "otp", "code", "passcode"),),
        regex=(
            r"\b(?:(?:(?:my|the|your|card|atm|bank|sim|security|door|alarm|debit|phone)[ _-])?pin(?: (?:code|number))?|"
            r"cv[vcn]2?(?: (?:code|number))?|otp(?: code)?|(?:one[- ]time|verification|security|login|2fa|mfa) "
            r"(?:pass)?(?:code|pin))\\?[\"']?(?:(?: is| was|:| ?=)[ \t]{0,4}|(?<=cv[vc]) )\\?[\"']?"
            r"(?P<number>[0-9]{3,8})(?![\w%]|[.,:/-]\w)"
        ),
        lower=True,
        score=SHAPED,
    ),
    Pattern(
        name="words that restore a wallet (BIP 39)",
        entity="SECRET",
        trigger=low("seed", "mnemonic", " phrase"),
        regex=(
            r"\b(?:seed(?: phrase| words)?|mnemonic(?: phrase)?|recovery (?:phrase|words)|backup phrase)\\?[\"']?"
            r"(?: is|:| ?=)[ \t\n]{0,4}\\?[\"']?(?P<words>(?:[a-z]{3,8}[ ,\n]{1,2}){11,23}[a-z]{3,8})(?![a-z])"
        ),
        lower=True,
        score=SHAPED,
    ),
)
