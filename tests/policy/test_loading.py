"""Policy files: what one may say, what is said of a wrong one, and what the actors of a policy may do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from securemem.errors import PolicyError
from securemem.policy import Policy
from securemem.policy.load import TREATMENTS, load
from securemem.policy.schema import Access
from tests.policy.texts import HEAD, NAMED, loaded

ENTITIES = NAMED + "pii:\n  entities:\n"
PII = NAMED + "pii: {entities: {URL: redact}, "
TREATED = NAMED + "pii: {entities: {URL: redact}}\nrules: [{id: a, match: {tag: a}, on_write: {"
RIGHTS = ("read", "write", "erase", "export", "hold", "reveal", "audit")


KNOWN = "is not known here"
ID = "is no id, small letters, digits, `_`, `-` and `.`, a letter first"
NAME = "is no name of an entity, such as EMAIL_ADDRESS"
WRONG = [
    ("", 1, 1, "expected keys and values, got nothing"),
    ("- a\n", 1, 1, 'expected keys and values, got ["a"]'),
    (NAMED + "acess: {}\n", 4, 1, f"'acess' {KNOWN}, did you mean 'access'?"),
    (NAMED + "pii: {}\n", 4, 1, "'entities' is missing here"),
    (ENTITIES + "    URL: redact\n  regoins: [GB]\n", 7, 3, f"'regoins' {KNOWN}, did you mean 'regions'?"),
    (NAMED + "qqq: {}\n", 4, 1, f"'qqq' {KNOWN}"),
    (NAMED + "'a`b': {}\n", 4, 1, f"'a`b' {KNOWN}"),
    ("kind: RetentionPolicy\n", 1, 1, "'apiVersion' is missing here"),
    ("apiVersion: securemem/v2\n", 1, 1, f"'securemem/v2' {KNOWN}, did you mean 'securemem/v1'?"),
    (
        "apiVersion: securemem/v1\nkind: RetentionPolcy\n",
        2,
        1,
        f"'RetentionPolcy' {KNOWN}, did you mean 'RetentionPolicy'?",
    ),
    (HEAD + "metadata: {name: ''}\n", 3, 12, "'' is empty"),
    (HEAD + "metadata: {name: [a]}\n", 3, 12, 'expected text, got ["a"]'),
    (HEAD + "metadata: {name: a, version: one}\n", 3, 21, "expected a whole number, got 'one'"),
    (HEAD + "metadata: {name: a, version: 0}\n", 3, 21, "expected a whole number >= 1, got 0"),
    (HEAD + "metadata: {name: a, version: true}\n", 3, 21, "expected a whole number, got true"),
    (HEAD + "metadata: {name: a, review_by: 2026-02-30}\n", 3, 21, "'2026-02-30' is no date, such as 2027-01-31"),
    (HEAD + "metadata: {name: a, review_by: soon}\n", 3, 21, "'soon' is no date, such as 2027-01-31"),
    (NAMED + "pii: [a]\n", 4, 1, 'expected keys and values, got ["a"]'),
    (ENTITIES + "    URL: [redact]\n", 6, 5, 'expected text, got ["redact"]'),
    (ENTITIES + "    URL: redact\n    AGE: {}\n", 7, 5, "expected text, got {}"),
    (ENTITIES + "    URL: redat\n", 6, 5, "'redat' is no treatment, did you mean 'redact'?"),
    (ENTITIES + "    URL: zzz\n", 6, 5, f"'zzz' is no treatment, one of {', '.join(TREATMENTS)}"),
    (ENTITIES + "    SECRET: pseudonymise\n", 6, 5, "a SECRET is never given back, redact, mask, hash or block it"),
    (ENTITIES + "    url: keep\n", 6, 5, f"'url' {NAME}"),
    (ENTITIES + "    'A]': keep\n", 6, 5, f"'A]' {NAME}"),
    (ENTITIES + f"    {'A' * 65}: keep\n", 6, 5, f"'{'A' * 65}' {NAME}"),
    (PII + "threshold: 1.5}\n", 4, 32, "expected a number <= 1, got 1.5"),
    (PII + "threshold: 0}\n", 4, 32, "expected a number > 0, got 0"),
    (PII + "pseudonyms: token}\n", 4, 32, f"'token' {KNOWN}, did you mean 'tokens'?"),
    (PII + "pseudonyms: red}\n", 4, 32, f"'red' {KNOWN}, one of tokens, realistic"),
    (PII + "regions: [GB, no]}\n", 4, 46, "'no' is no region, its code by ISO 3166-1, such as GB"),
    (PII + "languages: []}\n", 4, 32, "[] is empty"),
    (PII + "languages: [english]}\n", 4, 44, "'english' is no language, its code by ISO 639-1, such as en"),
    (NAMED + "access: {roles: {a: [read], b: [reed]}}\n", 4, 33, f"'reed' {KNOWN}, did you mean 'read'?"),
    (NAMED + "access: {roles: {kind: [reed]}}\n", 4, 25, f"'reed' {KNOWN}, did you mean 'read'?"),
    (NAMED + "access: {roles: {agent: read}}\n", 4, 18, "expected a list, got 'read'"),
    (NAMED + "rules:\n", 4, 1, "expected a list, got nothing, leave the key out, or say what belongs there"),
    (HEAD + f"metadata: {{name: {'a' * 257}}}\n", 3, 12, f"is over 256: '{'a' * 59}…"),
    (HEAD + 'metadata: {name: a}\nrules: [{id: "a\\n", match: {tag: a}}]\n', 4, 10, f"'a\\n' {ID}"),
    (NAMED + "rules: [{id: A, match: {tag: a}}]\n", 4, 10, f"'A' {ID}"),
    (NAMED + "rules: [{id: a, match: {tags: a}}]\n", 4, 25, f"'tags' {KNOWN}, did you mean 'tag'?"),
    (NAMED + "defaults: {keep_fr: 1d}\n", 4, 12, f"'keep_fr' {KNOWN}"),
    (
        NAMED + "rules: [{id: a, match: {tag: a}, while_kept: restrct}]\n",
        4,
        34,
        f"'restrct' {KNOWN}, did you mean 'restrict'?",
    ),
    (NAMED + "tests: [{given: {event: x}, expect: {}}]\n", 4, 18, f"'x' {KNOWN}, one of erasure, restriction, hold"),
    (NAMED + "requests: {regimes: [gdprr]}\n", 4, 22, f"'gdprr' {KNOWN}, did you mean 'gdpr'?"),
    (NAMED + "safety: {two_person: [rule_remove]}\n", 4, 23, f"'rule_remove' {KNOWN}, did you mean 'rule_removed'?"),
    (
        NAMED + "erasure: {notify: [{id: a, url_env: a}]}\n",
        4,
        28,
        "'a' is no environment variable, capitals, digits and `_`, such as CRM_ERASE_URL",
    ),
    (TREATED + "redat: [URL]}}]\n", 5, 45, "'redat' is no treatment, did you mean 'redact'?"),
    (TREATED + "hash: [URL, url]}}]\n", 5, 57, "'url' is no name of an entity, such as URL"),
    (TREATED + "hash: [URL], mask: [AGE, URL]}}]\n", 5, 70, "URL has a treatment here already: hash"),
    (TREATED + "pseudonymise: [SECRET]}}]\n", 5, 45, "a SECRET is never given back, redact, mask, hash or block it"),
    (TREATED + "hash: URL}}]\n", 5, 45, "expected a list, got 'URL'"),
    (
        NAMED + "rules: [{id: a, match: {tag: a}, on_write: {hash: [URL]}}]\n",
        4,
        45,
        "without `pii` nothing is looked for, say `pii: {entities: {…}}`",
    ),
    (NAMED + "access: {purposes: {q: [a], 'c d': [a, 1]}}\n", 4, 40, "expected text, got 1"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), WRONG, ids=[row[-1] for row in WRONG])
def test_a_wrong_policy_is_refused_where_it_is_wrong(text: str, line: int, column: int, message: str) -> None:
    """The error says which file, line and column, what is wrong there, and what was probably meant."""
    with pytest.raises(PolicyError) as caught:
        loaded(text)
    assert str(caught.value) == f"mine.yaml:{line}:{column}: {message}"
    assert (caught.value.file, caught.value.line, caught.value.column) == ("mine.yaml", line, column)


@pytest.mark.parametrize(
    "place", ["$.foo[...]", "$[0][...]", "$.kind[...]", "$.metadata[...]", "$.metadata.name.x", "$..."]
)
def test_a_key_that_reads_like_a_path_is_refused_like_others(place: str) -> None:
    """The checker's complaint repeats keys: one that looks like a part of the complaint leads nowhere."""
    for key in (f"x - at `{place}", f"x` - at `{place}"):
        with pytest.raises(PolicyError, match=r"unknown field|not known"):
            loaded(f"{NAMED}'{key}': 1\n")


def test_all_that_a_policy_may_say_is_taken() -> None:
    """The control: a file with every key of these parts is loaded, and means what it says."""
    policy = loaded(
        f"{HEAD}metadata: {{name: mine, version: 3, owner: DPO, review_by: 2026-11-26}}\n"
        "pii:\n  engine: ner\n  entities: {PERSON: pseudonymise, SECRET: block}\n  languages: [en, deu]\n"
        "  regions: [NO, GB]\n  threshold: 1\n  model: rampart\n  pseudonyms: realistic\n  options: {deep: [1, NO]}\n"
        "access: {roles: {dpo: [read, reveal]}, purposes: {care: [nurse]}}\nrules: []\ntests: []\n"
    )
    assert policy.pii is not None
    assert (policy.pii.languages, policy.pii.threshold, policy.pii.options) == (("en", "deu"), 1.0, {"deep": [1, "NO"]})
    assert policy.pii.regions == ("NO", "GB"), "Norway is a region, and no boolean"
    assert policy.access == Access(roles={"dpo": ("read", "reveal")}, purposes={"care": ("nurse",)})
    assert policy.rules.are_idle, "a part that is named and empty says nothing"
    assert policy.pii.entities == {"PERSON": "pseudonymise", "SECRET": "block"}


@pytest.mark.parametrize("treatment", TREATMENTS)
def test_every_treatment_may_be_named(treatment: str) -> None:
    """Each is taken for an entity, and for a secret too unless its value could be given back."""
    policy = loaded(f"{ENTITIES}    URL: {treatment}\n")
    assert policy.pii is not None
    assert policy.pii.entities["URL"] == treatment
    if treatment != "pseudonymise":
        assert loaded(f"{ENTITIES}    SECRET: {treatment}\n").pii is not None


def test_a_file_is_loaded_with_the_hash_of_its_bytes(tmp_path: Path) -> None:
    """What stands in receipts is the SHA-256 of the file as it lies on the disk."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"# \xc3\xa4\r\n" + NAMED.encode())
    assert load(path) == Policy("mine", hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff\n", "is not UTF-8"),
        (NAMED.encode("utf-16"), "is not UTF-8"),
        (b"\x00" * 100, r"1:1: no YAML: '\x00' is not allowed"),
        (b"#" * (10 << 20), "is over 1 MiB, split it: nobody reads a policy that long"),
        (b"acess: {}\n", f"1:1: 'acess' {KNOWN}, did you mean 'access'?"),
    ],
    ids=["no UTF-8", "UTF-16", "NUL", "10 MB", "unknown key"],
)
def test_a_file_that_is_none_is_refused_by_its_name(content: bytes, message: str, tmp_path: Path) -> None:
    """Whatever lies in a file, the error begins with its path."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        load(path)
    assert str(caught.value) in (f"{path}:{message}", f"{path}: {message}")


def test_what_cannot_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    """A folder, and a file that is not there, are a PolicyError that says which."""
    for path in (tmp_path, tmp_path / "none.yaml"):
        with pytest.raises(PolicyError, match=r"cannot be read \((IsADirectory|FileNotFound)Error\)") as caught:
            load(path)
        assert caught.value.file == str(path)


WORDS = st.sampled_from(
    ["apiVersion", "kind", "metadata", "name", "pii", "entities", "access", "roles", "securemem/v1"]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS,
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text() | WORDS, part, max_size=4),
    max_leaves=12,
)
WHOLE = {"apiVersion": "securemem/v1", "kind": "RetentionPolicy", "metadata": {"name": "mine"}}


def _refused(text: str) -> PolicyError | None:
    try:
        loaded(text)
    except PolicyError as exc:
        return exc
    return None


@given(st.text())
@example("\ud800")
def test_no_text_raises_anything_else(text: str) -> None:
    """A text is a policy, which a random one is not, or raises PolicyError."""
    assert _refused(text) is not None


@given(PLAIN, PLAIN)
def test_no_data_raises_anything_else(pii: object, access: object) -> None:
    """Any data in the place of a part is taken, or is a PolicyError that has a place; the rest of the file is right."""
    refused = _refused(yaml.safe_dump(WHOLE | {"pii": pii, "access": access}))
    assert refused is None or (refused.file == "mine.yaml" and min(refused.line or 0, refused.column or 0) >= 1)
    assert _refused(yaml.safe_dump(WHOLE)) is None, "the control"


@pytest.mark.parametrize("access", [None, Access(), Access(purposes={"care": ("nurse",)})])
@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("actor", [None, "", "agent:bot"])
def test_everybody_may_do_all_where_no_roles_are_named(access: Access | None, right: str, actor: str | None) -> None:
    """A policy without roles takes nothing from anybody, named or not."""
    assert Policy("mine", "", access=access).allows(actor, right)


@pytest.mark.parametrize(
    ("actor", "rights"),
    [
        ("agent", ("read", "write")),
        ("agent:clinic-bot", ("read", "write")),
        ("agent:dpo:jane", ("read", "write")),
        ("dpo:jane", ("reveal",)),
        ("nobody:x", ()),
        (None, ()),
        ("", ()),
        (":agent", ()),
        ("agents", ()),
        ("Agent:bot", ()),
        (" agent", ()),
        ("stranger", ()),
    ],
)
def test_an_actor_has_the_rights_of_its_role(actor: str | None, rights: tuple[str, ...]) -> None:
    """Its role is its name up to the first colon, letter by letter; who has none has no right at all."""
    roles = "{agent: [read, write], dpo: [reveal], nobody: []}"
    policy = loaded(f"{NAMED}access: {{roles: {roles}}}\n")
    assert tuple(right for right in ("read", "write", *RIGHTS[2:]) if policy.allows(actor, right)) == rights
