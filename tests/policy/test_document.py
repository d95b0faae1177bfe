"""YAML of the strict subset: what is read as what, and where an error is said to stand."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securemem.errors import PolicyError
from securemem.policy.document import MAX_BYTES, MAX_DEPTH, read

FILE = "mine.yaml"

REFUSED = [
    pytest.param("a: 1\nb: 2\na: 3\n", 3, 1, "'a' stands here twice, it stood in line 1", id="key twice"),
    pytest.param("a:\n  b: 1\n  'b': 2\n", 3, 3, "'b' stands here twice, it stood in line 2", id="key twice, quoted"),
    pytest.param("a: {b: 1, b: 1}\n", 1, 11, "'b' stands here twice, it stood in line 1", id="key twice, in one line"),
    pytest.param("a: &x 1\n", 1, 4, "anchors and aliases are not taken, write it out", id="anchor of a scalar"),
    pytest.param("a: &x {}\n", 1, 4, "anchors and aliases are not taken", id="anchor of a mapping"),
    pytest.param("a: &x []\n", 1, 4, "anchors and aliases are not taken", id="anchor of a sequence"),
    pytest.param("a:\n- *x\n", 2, 3, "anchors and aliases are not taken", id="alias"),
    pytest.param("a: 1\n*x : 2\n", 2, 1, "a key has to be a word", id="alias as a key"),
    pytest.param("a: !!str 1\n", 1, 4, "tags are not taken, leave it out", id="tag of YAML"),
    pytest.param("a: !!python/object/apply:os.system [x]\n", 1, 4, "tags are not taken", id="tag of Python"),
    pytest.param("a:\n  - !mine {}\n", 2, 5, "tags are not taken", id="own tag"),
    pytest.param("a:\n\tb: 1\n", 2, 1, "no YAML: .*, indent with spaces", id="tab"),
    pytest.param("a:\n  b: 1\n \tc: 1\n", 3, 2, "no YAML: .*, indent with spaces", id="tab after a space"),
    pytest.param("a: 1\n---\nb: 2\n", 2, 1, "a second document, a file holds one policy", id="second document"),
    pytest.param("a: 1\n---\n", 2, 1, "a second document", id="second document, empty"),
    pytest.param("[a]: 1\n", 1, 1, "a key has to be a word", id="sequence as a key"),
    pytest.param("a: 1\n? {b: 1}\n: 2\n", 2, 3, "a key has to be a word", id="mapping as a key"),
    pytest.param("a: b: c\n", 1, 5, "no YAML: mapping values are not allowed", id="two colons"),
    pytest.param("a: @b\n", 1, 4, "no YAML: found character that cannot start any token", id="at sign"),
    pytest.param("a: [1\n", 2, 1, "no YAML", id="bracket left open"),
    pytest.param("a: 'b\n", 2, 1, "no YAML: found unexpected end of stream", id="quote left open"),
    pytest.param("a: 1\nb: x\0\n", 2, 5, r"no YAML: '\\x00' is not allowed", id="NUL"),
    pytest.param("\x1b[2J", 1, 1, r"no YAML: '\\x1b' is not allowed", id="control character"),
    pytest.param("a: \ud800\n", 1, 4, r"no YAML: '\\ud800' is not allowed", id="half a surrogate pair"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), REFUSED)
def test_what_is_no_plain_yaml_is_refused_where_it_stands(text: str, line: int, column: int, message: str) -> None:
    """The error names the file, the line and the column, as attributes and in words."""
    with pytest.raises(PolicyError, match=message) as caught:
        read(text, FILE)
    assert (caught.value.file, caught.value.line, caught.value.column) == (FILE, line, column)
    assert str(caught.value).startswith(f"{FILE}:{line}:{column}: ")


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", None),
        ("# nothing\n", None),
        ("a: 1\nb: 2\n", {"a": 1, "b": 2}),
        ("a: {x: 1}\nb: {x: 1}\n", {"a": {"x": 1}, "b": {"x": 1}}),
        ("a: 'and & or *'\n", {"a": "and & or *"}),
        ("a: '!!str'\n", {"a": "!!str"}),
        ("a: 'tab\there'\n", {"a": "tab\there"}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("\ufeffa: 1\n", {"a": 1}),
        ("a: 1\r\nb: 2\r\n", {"a": 1, "b": 2}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("<<: {a: 1}\n", {"<<": {"a": 1}}),
        ("- - a\n  - b\n- c\n", [["a", "b"], "c"]),
    ],
)
def test_what_is_plain_is_read(text: str, data: object) -> None:
    """The control of what is refused: the nearest to it that is plain data is read as such."""
    assert read(text, FILE).data == data


@pytest.mark.parametrize(
    "word", ["NO", "no", "yes", "on", "Off", "True", "NULL", "0x10", "0o7", "1_000", "12:30", "1e3"]
)
def test_words_stay_words(word: str) -> None:
    """What YAML 1.1 took for booleans, other numbers or times is text, and so is a date until a type wants one."""
    assert read(f"[{word}, 2026-11-26]", FILE).data == [word, "2026-11-26"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("null", None),
        ("~", None),
        ("true", True),
        ("false", False),
        ("12", 12),
        ("-3", -3),
        ("0.85", 0.85),
        ("+1.5", 1.5),
    ],
)
def test_few_words_are_more_than_text(word: str, value: object) -> None:
    """Null, true, false and decimal numbers are what they say, unless they stand in quotes."""
    assert read(f"[{word}, '{word}', \"{word}\"]", FILE).data == [value, word, word]


def test_a_number_too_long_to_be_one_stays_text() -> None:
    """No file makes Python read a number of a million digits."""
    digits = "9" * 500_000
    assert read(f"[{digits}, {'9' * 18}]", FILE).data == [digits, int("9" * 18)]


def test_depth_is_bounded() -> None:
    """One level more than is allowed is refused where it opens; as deep as is allowed is read."""
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH, FILE).data
    with pytest.raises(PolicyError, match=f"nested deeper than {MAX_DEPTH}") as caught:
        read("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2), FILE)
    assert (caught.value.line, caught.value.column) == (1, MAX_DEPTH + 2)


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_what_is_nested_without_end_is_refused_and_overflows_nothing(opening: str) -> None:
    """As deep as its size allows, a file ends in a PolicyError, and not in a RecursionError or a crash."""
    with pytest.raises(PolicyError, match=r"deep|nest|key"):
        read(opening * (MAX_BYTES // len(opening)), FILE)


def test_a_bomb_does_not_go_off() -> None:
    """Nine levels of nine aliases, a billion texts in a few hundred bytes, are refused at the first anchor."""
    bomb = 'a0: &a0 ["lol"]\n'
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
    tracemalloc.start()
    try:
        with pytest.raises(PolicyError, match="anchors") as caught:
            read(bomb, FILE)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert (caught.value.line, caught.value.column) == (1, 5)


def test_size_is_bounded() -> None:
    """A file over the limit is refused before it is parsed, counted in bytes; one at the limit is read."""
    assert read("#" * MAX_BYTES, FILE).data is None
    for text in ("#" * (MAX_BYTES + 1), "[" * (10 * MAX_BYTES), "ä" * (MAX_BYTES // 2 + 1)):
        with pytest.raises(PolicyError, match=r"mine\.yaml: is over 1 MiB"):
            read(text, FILE)


@pytest.mark.parametrize(
    ("path", "line", "column"),
    [((), 1, 1), (("b",), 2, 1), (("b", "c"), 3, 3), (("b", "c", 1), 3, 10), (("b", "x", 0), 2, 1), (("z",), 1, 1)],
)
def test_an_error_stands_at_the_nearest_part(path: tuple[str | int, ...], line: int, column: int) -> None:
    """What is wrong at a path is said of the place of that part, or of the nearest that is there above it."""
    error = read("a: 1\nb:\n  c: [x, y]\n", FILE).error(path, "is wrong", hint="put it right")
    assert str(error) == f"{FILE}:{line}:{column}: is wrong, put it right"
    assert error.hint == "put it right"


YAMLISH = st.lists(
    st.sampled_from(["a", "b", ":", ": ", "\n", "  ", "\t", "- ", "[", "]", "{", "}", ", ", "&x ", "*x", "!t ", "? "])
    | st.sampled_from(
        ["'", '"', "---\n", "...\n", "|\n", ">-\n", "#", "%YAML 1.2\n", "<<", "~", "1", "\ufeff", "\\", "@"]
    )
    | st.characters(),
    max_size=30,
).map("".join)


@given(st.text() | YAMLISH)
@example("\ud800")
@example("\x85:\u2028")
def test_no_text_raises_anything_else(text: str) -> None:
    """Whatever a file holds, it is read or is refused as a policy, at a place that counts from 1."""
    refused = None
    try:
        read(text, FILE)
    except PolicyError as exc:
        refused = exc
    if refused is not None:
        assert refused.file == FILE
        assert min(refused.line or 0, refused.column or 0) >= 1
