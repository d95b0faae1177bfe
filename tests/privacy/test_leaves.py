"""Walking content: every text is looked at, nothing else is touched, and JSON stays JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securemem.privacy.leaves import MAX_DEPTH, Leaf, leaves, rebuild

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12)
PLAIN = st.recursive(
    SCALARS,
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=6), part, max_size=4),
    max_leaves=15,
)
FLAT = st.recursive(
    SCALARS.filter(lambda value: not isinstance(value, str)) | st.text('ab \\"é'),
    lambda part: st.lists(part, max_size=4) | st.dictionaries(st.text("xyz"), part, max_size=4),
    max_leaves=15,
).filter(lambda value: isinstance(value, dict | list))
WRITTEN = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
    PLAIN.filter(lambda value: isinstance(value, dict | list)),
    st.booleans(),
    st.sampled_from([None, 0, 2]),
)
CONTENT = st.recursive(
    SCALARS | WRITTEN,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(max_size=6), part, max_size=3),
    max_leaves=10,
)


def shape(value: Any) -> Any:
    """Give JSON with nothing of its texts but that there are some."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, list):
        return [shape(item) for item in value]
    return [shape(item) for item in value.values()] if isinstance(value, dict) else value


@given(CONTENT)
def test_what_nobody_changes_is_the_same(value: Any) -> None:
    """With each text left as it is, content is as it was, to the last space and backslash of JSON within a text."""
    assert rebuild(value, lambda leaf: leaf.text) == value


@given(CONTENT)
@example({"a": '{"a": "\\u00e4", "b": ["x", {}]}'})
def test_texts_are_asked_for_in_the_order_of_leaves(value: Any) -> None:
    """What is found in the leaves of a message is treated where it stood: the two walks go the same way."""
    asked: list[Leaf] = []

    def treated(leaf: Leaf) -> str:
        asked.append(leaf)
        return leaf.text

    rebuild(value, treated)
    assert asked == list(leaves(value))


@given(WRITTEN)
@example('{"a": "\\u0131 \\ud83d\\ude00 \\" \\\\", "b": [1, true, "x:y"]}')
def test_json_within_a_text_stays_json(text: str) -> None:
    """With every text changed it is valid, of the same shape and figures, and its texts are the new ones, in order."""
    made = rebuild(text, lambda leaf: f'"{leaf.text.upper()}\\\n')
    assert shape(json.loads(made)) == shape(json.loads(text))
    assert [leaf.text for leaf in leaves(made)] == [f'"{leaf.text.upper()}\\\n' for leaf in leaves(text)]


@given(FLAT)
@example([{"id": 1}, "Sarah"])
@example({"to": [{"id": "x"}, "Sarah", [{"type": "y"}], "Bob"]})
def test_json_within_a_text_has_the_leaves_of_the_same_json(value: Any) -> None:
    """A text has the key that it would have outside: what follows an object in a list has not the object's last key."""
    assert list(leaves(json.dumps(value))) == list(leaves(value))


@given(CONTENT)
def test_all_but_texts_stays(value: Any) -> None:
    """Numbers, booleans and null are never asked for, and stand where they stood."""
    assert shape(rebuild(value, lambda leaf: leaf.text + "x")) == shape(value)


def test_the_leaves_of_a_tool_call() -> None:
    """Keys and values are leaves in order, those of JSON within a text too, each with its key; figures are none."""
    call = {"type": "tool_use", "n": 3, "ok": True, "arguments": '{"to": "Sarah", "cc": ["Bob", 7], "when": null}'}
    assert list(leaves(call)) == [
        Leaf("type", is_key=True),
        Leaf("tool_use", "type"),
        Leaf("n", is_key=True),
        Leaf("ok", is_key=True),
        Leaf("arguments", is_key=True),
        Leaf("to", is_key=True),
        Leaf("Sarah", "to"),
        Leaf("cc", is_key=True),
        Leaf("Bob", "cc"),
        Leaf("when", is_key=True),
    ]


@pytest.mark.parametrize(
    ("text", "rebuilt"),
    [
        ('{"a":  "x",\n "b": 1.50}', '{"a":  "Y",\n "b": 1.50}'),
        ('{"a": "x", "b": "\\u00e9"}', '{"a": "Y", "b": "\\u00e9"}'),
        ('{"a": "é", "c": "x"}', '{"a": "é", "c": "Y"}'),
        (' ["x", "x "]', ' ["Y", "x "]'),
        ('{"x": "x"}', '{"Y": "Y"}'),
        ('["\\u0078"]', '["Y"]'),
        ("[x]", "[x]"),
        ("x", "Y"),
        ('"x"', '"x"'),
        ('{"a": "x"', '{"a": "x"'),
        ("[1, 2]", "[1, 2]"),
        ('{"a": "x"} ', '{"a": "Y"} '),
    ],
)
def test_only_what_changes_is_written_anew(text: str, rebuilt: str) -> None:
    """The rest of JSON within a text keeps its spaces, escapes and figures; what is no JSON is one text."""
    assert rebuild(text, lambda leaf: "Y" if leaf.text == "x" else leaf.text) == rebuilt


def test_new_text_is_written_as_the_old_was() -> None:
    """Where JSON was in ASCII it stays so, and where it was not, it is not."""
    assert rebuild('["x"]', lambda _: "é") == '["\\u00e9"]'
    assert rebuild('["ü"]', lambda _: "é") == '["é"]'


def test_keys_that_become_equal_stay_apart() -> None:
    """No value is lost where two keys are treated to the same, nor where a key is already called so."""
    value = {"a@x.example": 1, "b@x.example": 2, "[EMAIL] (2)": 3, "c": 4}
    made = rebuild(value, lambda leaf: "[EMAIL]" if "@" in leaf.text else leaf.text)
    assert made == {"[EMAIL]": 1, "[EMAIL] (2)": 2, "[EMAIL] (2) (2)": 3, "c": 4}


@pytest.mark.parametrize("depth", [1, MAX_DEPTH, MAX_DEPTH + 1, 900, 5000, 200_000])
def test_json_however_deep_within_a_text_is_looked_at(depth: int) -> None:
    """Down to the limit its texts are leaves; deeper, all of it is one, and no depth ends in a RecursionError."""
    text = "[" * depth + '"Sarah"' + "]" * depth
    assert [leaf.text for leaf in leaves(text)] == ["Sarah" if depth <= MAX_DEPTH else text]
    made = rebuild(text, lambda leaf: leaf.text.replace("Sarah", "[PERSON_1]"))
    assert made == text.replace("Sarah", "[PERSON_1]")


@pytest.mark.parametrize("text", ["[" * 800 + "]" * 800, '{"a": ' + "[" * 800 + "]" * 800 + ', "a": "Sarah"}'])
def test_the_stack_makes_no_difference(text: str) -> None:
    """What is one text to who finds is one to who treats, however deep either is called."""

    def deep(levels: int) -> list[Leaf]:
        return deep(levels - 1) if levels else list(leaves(text))

    assert deep(0) == deep(600) == [Leaf(text)]


def test_brackets_in_strings_are_no_depth() -> None:
    """Many objects side by side, and any bracket within a string, leave JSON what it is."""
    value = [{"to": "[" * 500}] * 500
    assert len(list(leaves(json.dumps(value)))) == 1000


@pytest.mark.parametrize(
    ("leaf", "identifier", "named", "prose"),
    [
        (Leaf("Sarah"), False, False, True),
        (Leaf("name", is_key=True), True, False, False),
        (Leaf("Sarah", "name"), False, True, True),
        (Leaf("Sarah", "first_name"), False, True, True),
        (Leaf("Sarah", "assignee"), False, True, True),
        (Leaf("Sarah", "x"), False, False, False),
        (Leaf("Sarah went home", "x"), False, False, True),
        (Leaf("4711", "user_id"), True, False, False),
        (Leaf("Sarah Connor", "id"), True, False, False),
        (Leaf("tool_use", "type"), True, False, False),
        (Leaf("hello world", "filename"), False, False, True),
    ],
)
def test_what_a_leaf_is(leaf: Leaf, identifier: bool, named: bool, prose: bool) -> None:  # noqa: FBT001
    """Names are looked for where the key says so or where there are two words, and never in keys and identifiers."""
    assert (leaf.is_identifier, leaf.is_named, leaf.is_prose) == (identifier, named, prose)
