"""Giving back: whole texts and streams, by tokens and by surrogates, and what a model reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from securemem.errors import ConfigurationError
from securemem.model import Message
from securemem.privacy.reveal import Stream, as_read_by_models, original, revealed
from securemem.privacy.surrogates import Surrogates
from securemem.privacy.tokens import LONGEST, Token
from securemem.privacy.vault import Entry, Vault

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SURROGATES = Surrogates("en")
KNOWN = [
    ("PERSON", "Sarah Connor"), ("PERSON", "Sarah"), ("PERSON", "John Doe"), ("EMAIL_ADDRESS", "sarah@example.com"),
    ("PHONE_NUMBER", "+44 20 7946 0958"), ("LOCATION", "Berlin"), ("AGE", "37"),
]  # fmt: skip


def vault(*, realistic: bool) -> Vault:
    """Give a vault with what is known."""
    made = Vault()
    for entity, value in KNOWN:
        entry = made.draft(entity, value, None)
        assert made.add(SURROGATES.make(entry, made) if realistic else entry)
    return made


TOKENS, REALISTIC = vault(realistic=False), vault(realistic=True)
FIXED = Vault()
FIXED.add(Entry(Token("PERSON", 1), "Sarah Connor", "Emma Johnson"))
FIXED.add(Entry(Token("PERSON", 1, 2), "Sarah", "Emma"))
FIXED.add(Entry(Token("PHONE_NUMBER", 1), "+44 20 7946 0958", "(555) 010-9999"))
FIXED.add(Entry(Token("PERSON", 2), "Kim Lee", "Johnson Smith"))
FIXED.add(Entry(Token("URL", 1), "a.example", "https://b.example/"))
PSEUDONYMS = [
    entry.surrogate or str(token) for each in (TOKENS, REALISTIC, FIXED) for token, entry in each._by_token.items()
]
TEXTS = st.lists(
    st.sampled_from(
        [
            *PSEUDONYMS,
            "[PERSON_10]",
            "[\\PERSON_1]",
            "[PERSON_1@3f9a2c]",
            "Emma J",
            "Johnson Smith",
            "Emma Johnson Smith",
            "(555",
            "[",
            " ",
            ", ",
            "x",
        ]
    )
    | st.text(max_size=3),
    max_size=10,
).map("".join)


def streamed(vaults: dict[str, Vault], pieces: list[str]) -> str:
    """Give what comes of pieces."""
    stream = Stream(vaults, NOW)
    return "".join([*(stream.feed(piece) for piece in pieces), stream.end()])


@pytest.mark.parametrize("known", [TOKENS, REALISTIC, FIXED], ids=["tokens", "realistic", "fixed"])
@example(text="0Emma Johnson", cuts=[1])
@example(text="Emma Johnson Smith", cuts=[])
@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_a_stream_gives_what_the_whole_gives(known: Vault, text: str, cuts: list[int]) -> None:
    """However a text is cut into pieces, what comes out is what the whole text reveals."""
    vaults = {"": known, "3f9a2c": TOKENS}
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    whole = revealed(text, vaults, NOW)
    assert streamed(vaults, [text[start:end] for start, end in pairwise(places)]) == whole
    assert streamed(vaults, list(text)) == whole


@pytest.mark.parametrize("known", [TOKENS, REALISTIC, FIXED], ids=["tokens", "realistic", "fixed"])
@given(text=TEXTS)
def test_a_stream_holds_back_at_most_one_pseudonym(known: Vault, text: str) -> None:
    """What waits is never longer than the longest pseudonym, and what can be none waits for nothing."""
    stream = Stream({"": known}, NOW)
    for character in text:
        stream.feed(character)
        assert len(stream._held) <= max(LONGEST, known._longest)
    assert stream.feed("\n.\n") or stream._held == ""
    assert stream.end() == ""


def test_a_token_cut_in_two_waits_for_its_end() -> None:
    """Nothing of it is given before it is whole; what only began like one is given as soon as it is none."""
    stream = Stream({"": TOKENS}, NOW)
    assert [stream.feed(piece) for piece in ("Hi [PER", "SON_1", "], [PE", "T x")] == [
        "Hi ",
        "",
        "Sarah Connor, ",
        "[PET x",
    ]
    assert stream.end() == ""


def test_a_surrogate_is_given_back_whole_words_only() -> None:
    """The longest is taken; within another word, or in another case, it is somebody else's."""
    vaults = {"": FIXED}
    assert revealed("Emma Johnson, Emma", vaults, NOW) == "Sarah Connor, Sarah"
    assert revealed("Emmas, Emma Johnsons, emma", vaults, NOW) == "Emmas, Sarah Johnsons, emma"
    assert revealed("call (555) 010-9999 or https://b.example/", vaults, NOW) == "call +44 20 7946 0958 or a.example"


def test_a_guests_token_is_the_guests() -> None:
    """A token with a mark is looked up in the vault of that mark, and in no other."""
    vaults = {"": FIXED, "3f9a2c": TOKENS}
    text = "[PERSON_1] [PERSON_2@3f9a2c] [PERSON_2] [PERSON_1@ffffff]"
    assert revealed(text, vaults, NOW) == "Sarah Connor John Doe Kim Lee [PERSON_1@ffffff]"


def test_a_surrogate_has_no_word_of_what_it_stands_for() -> None:
    """Among as many names as a language has, the person's own is drawn sooner or later, and is not taken."""
    drawn = set()
    for _ in range(3000):
        made = Vault()
        surrogate = SURROGATES.make(made.draft("PERSON", "James Smith", None), made).surrogate
        drawn.update(surrogate.split())
    assert {"Michael", "Johnson"} < drawn
    assert drawn.isdisjoint({"James", "Smith"})
    assert "Smith" in {SURROGATES._faker.last_name() for _ in range(3000)}


@pytest.mark.parametrize("realistic", [False, True])
def test_what_a_model_reads_comes_back(realistic: bool) -> None:  # noqa: FBT001
    """No value is in what a model reads of a stored message, and revealing it gives what was said; so does history."""
    known = REALISTIC if realistic else TOKENS
    stored = Message(
        role="user", content="[PERSON_1] and [PERSON_1.2], not [\\PERSON_1]: [PHONE_NUMBER_1]", pseudonymised=True
    )
    said = "Sarah Connor and Sarah, not [PERSON_1]: +44 20 7946 0958"
    shown = as_read_by_models(stored, known, NOW)
    assert not any(value in shown.content for value in ("Sarah", "Connor", "7946"))
    assert ("[PERSON_1] and" in shown.content) != realistic
    assert revealed(shown.content, {"": known}, NOW) == said
    assert original(stored, known, NOW).content == said


def test_what_stands_in_clear_is_hidden_from_models() -> None:
    """A message from before the value was known is read under its pseudonym, and its own brackets are marked."""
    clear = Message(role="user", content={"text": "Sarah Connor says [PERSON_1]", "n": 1})
    shown = as_read_by_models(clear, TOKENS, NOW, guest="3f9a2c")
    assert shown.content == {"text": "[PERSON_1@3f9a2c] says [\\PERSON_1]", "n": 1}
    assert shown.pseudonymised
    assert original(clear, TOKENS, NOW) is clear


def test_what_has_ended_stays_a_pseudonym() -> None:
    """Past its time a token is a token and a surrogate a name, for history and for answers; before, a value."""
    end = NOW + timedelta(hours=1)
    known = Vault()
    known.add(Entry(Token("PERSON", 1), "Sarah Connor", "Emma Johnson", end))
    stored = Message(role="user", content="[PERSON_1]", pseudonymised=True)
    for now, name, other in ((NOW, "Sarah Connor", "Sarah Connor"), (end, "[PERSON_1]", "Emma Johnson")):
        assert revealed("[PERSON_1]", {"": known}, now) == name
        assert revealed("Emma Johnson", {"": known}, now) == other
        assert original(stored, known, now).content == name


def test_every_value_has_a_surrogate_of_its_own() -> None:
    """None is another's, or a value; of the same kind, but for an entity with no maker, which keeps its token."""
    made = Vault()
    for number in range(200):
        entry = SURROGATES.make(made.draft("PERSON", f"A{number} B{number}", None), made)
        assert len(entry.surrogate.split()) == 2
        assert not made.is_taken(entry.surrogate)
        made.add(entry)
    assert SURROGATES.make(made.draft("AGE", "37", None), made).surrogate == ""
    assert "@example." in SURROGATES.make(made.draft("EMAIL_ADDRESS", "a@b.de", None), made).surrogate


@pytest.mark.parametrize(
    ("wording", "surrogate"), [("Sarah", "Emma"), ("SARAH CONNOR", "EMMA JOHNSON"), ("connor", "johnson")]
)
def test_another_wording_is_another_wording_of_the_surrogate(wording: str, surrogate: str) -> None:
    """A model reads "Emma" for "Sarah" where it read "Emma Johnson" for "Sarah Connor", in the same case."""
    known = Vault()
    known.add(Entry(Token("PERSON", 1), "Sarah Connor", "Emma Johnson"))
    assert SURROGATES.make(known.draft("PERSON", wording, None), known).surrogate == surrogate


def test_a_language_that_faker_does_not_know_is_refused() -> None:
    """It is said when the store is opened, with what to take instead."""
    with pytest.raises(ConfigurationError, match="'xx': take pseudonyms: tokens"):
        Surrogates("xx")


@pytest.mark.parametrize("given_away", ["alice@example.net", "dominguezalice@example.com", "a.lice.alice@example.org"])
def test_an_address_has_no_name_of_the_real_one(monkeypatch: pytest.MonkeyPatch, given_away: str) -> None:
    """Where an address is made up that has the name in it, alone or within a word, another one is."""
    surrogates, made = Surrogates("en"), iter([given_away, "emma@example.com"])
    monkeypatch.setattr(surrogates._faker, "safe_email", lambda: next(made), raising=False)
    entry = surrogates.make(Entry(Token("EMAIL_ADDRESS", 1), "alice@example.com"), Vault())
    assert entry.surrogate == "emma@example.com"
