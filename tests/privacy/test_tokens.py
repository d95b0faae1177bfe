"""Tokens in texts: what is one, what only looks like one, and what may become one."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securemem.privacy.tokens import LONGEST, TOKEN, Token, escape, replace, token_of, unfinished

PIECES = st.sampled_from(
    ["[", "]", "\\", "\\\\", "_", ".", "@", "PERSON", "X", "1", "10", "0", "PERSON_1", "abc123", " "]
)
TOKENS = st.builds(
    Token,
    st.from_regex(r"[A-Z][A-Z0-9_]{0,9}", fullmatch=True),
    st.integers(1, 999_999_999),
    st.integers(1, 999_999_999),
    st.from_regex(r"([0-9a-f]{6})?", fullmatch=True),
)
TOKENISH = st.lists(PIECES | TOKENS.map(str) | st.sampled_from(["[PERSON_1]", "[\\PERSON_1]"]), max_size=12).map(
    "".join
)


def _nothing(token: Token) -> str:
    raise AssertionError(f"{token} was taken for a token")


@given(TOKENS)
def test_a_token_is_read_as_it_is_written(token: Token) -> None:
    """Each form of a token matches whole, means what was written, and is no longer than it may be."""
    match = TOKEN.fullmatch(str(token))
    assert match is not None
    assert token_of(match) == token
    assert len(str(token)) <= LONGEST


def test_the_longest_token_is_no_longer() -> None:
    """The widest of each part together stay within the bound."""
    token = Token("A" * 64, 999_999_999, 999_999_999, "abcdef")
    assert TOKEN.fullmatch(str(token))
    assert len(str(token)) <= LONGEST


@pytest.mark.parametrize(
    "text",
    [
        "[PERSON_0]",
        "[PERSON_01]",
        "[PERSON]",
        "[person_1]",
        "[PERSON_1",
        "PERSON_1]",
        "[PERSON_1.0]",
        "[PERSON_1@12345]",
        "[PERSON_1@ABCDEF]",
        "[1_1]",
        "[PERSON_1234567890]",
        "[ PERSON_1]",
        "[PERSON_1 ]",
        "[PERSON-1]",
        f"[{'A' * 65}_1]",
    ],
)
def test_what_is_nearly_a_token_is_none(text: str) -> None:
    """It is neither escaped nor replaced; the control is a token, which is."""
    assert escape(text) == replace(text, _nothing) == text
    assert escape("[PERSON_1]") == "[\\PERSON_1]"
    assert replace("[PERSON_1]", lambda _: "Sarah") == "Sarah"


def test_a_token_is_no_part_of_a_longer_one() -> None:
    """What stands for the first person is not put into the tenth, another wording, a guest or a longer name."""
    text = "[PERSON_1] [PERSON_10] [PERSON_1.2] [PERSON_1@3f9a2c] [X_PERSON_1] [PERSON_1]0]"
    shown = replace(text, lambda token: "Sarah" if token == Token("PERSON", 1) else None)
    assert shown == "Sarah [PERSON_10] [PERSON_1.2] [PERSON_1@3f9a2c] [X_PERSON_1] Sarah0]"


@given(TOKENISH | st.text())
@example("[PERSON_1]")
@example("[\\PERSON_1]")
@example("[[\\\\PERSON_1]]")
def test_what_looks_like_a_token_comes_back(text: str) -> None:
    """Escaped, a text holds no token, and replacing gives it back, whatever backslashes it had."""
    escaped = escape(text)
    assert TOKEN.search(escaped) is None
    assert replace(escaped, _nothing) == text


@given(TOKENISH, TOKENISH)
def test_no_two_texts_escape_to_the_same(one: str, other: str) -> None:
    """Escaping keeps texts apart, so that one way back is enough."""
    assert (escape(one) == escape(other)) == (one == other)


@given(st.lists(st.tuples(TOKENISH, TOKENS), max_size=4), TOKENISH)
def test_tokens_among_what_looks_like_them_come_back(parts: list[tuple[str, Token]], last: str) -> None:
    """In a text of both, the true tokens are replaced, each by its own value, and the others come back as they were."""
    stored = said = ""
    begins = set()
    for text, token in parts:
        begins.add(len(stored) + len(text))
        stored += f"{text}{token}"
        said += f"{text}<{token!r}>"
    escaped = escape(stored + last, begins)
    assert replace(escaped, lambda token: f"<{token!r}>") == said + last


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", 0),
        ("abc", 3),
        ("abc [", 4),
        ("abc [P", 4),
        ("abc [PERSON_", 4),
        ("abc [PERSON_1", 4),
        ("abc [PERSON_1.", 4),
        ("abc [PERSON_1.2@", 4),
        ("abc [PERSON_1@3f9a2c", 4),
        ("abc [\\", 4),
        ("abc [\\\\PERSON_1", 4),
        ("[A_1][B", 5),
        ("abc [PERSON_1]", 14),
        ("abc [p", 6),
        ("abc [PERSON 1", 13),
        ("[1", 2),
        ("[PERSON_1@xyz", 13),
        ("[X\n", 3),
        ("[" + "A" * 200, 201),
    ],
)
def test_what_may_become_a_token_is_held(text: str, start: int) -> None:
    """The place where a token begins that is not whole yet, and the text's end where none does."""
    assert unfinished(text) == start


@given(TOKENISH, TOKENS, TOKENISH, st.data())
def test_no_token_is_cut(before: str, token: Token, after: str, data: st.DataObject) -> None:
    """Wherever a text is cut within what is a token, or looks like one, all of it is held back."""
    text = escape(f"{before} {token} {after}", {len(before) + 1})
    cut = data.draw(st.integers(0, len(text)))
    ready = unfinished(text[:cut])
    assert replace(text[:ready], str) + replace(text[ready:], str) == replace(text, str)
    assert cut - ready <= LONGEST
