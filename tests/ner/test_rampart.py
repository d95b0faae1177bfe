"""The rooms behind the network, without it: windows, words, places, addresses, cues, spans; and time on bad input."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from securemem.privacy.engines.rampart import addresses, cues, givennames, places, reading, spans, windows, words
from securemem.privacy.engines.rampart.network import Token, TooManyTokensError
from securemem.privacy.engines.rampart.words import WORD, Word


class Knowing:
    """A network that finds some words, and takes so many characters at once."""

    def __init__(self, names: Iterable[str] = (), known: Iterable[str] = (), most: int = 10_000) -> None:
        """Know some words as names and as places."""
        self.names, self.known, self.most = set(names), set(known), most
        self.read: list[int] = []

    def tokens(self, text: str) -> list[Token]:
        """As `windows.Reader`: a token a word."""
        if len(text) > self.most:
            raise TooManyTokensError
        self.read.append(len(text))
        return [
            Token(*match.span(), float(match[0] in self.names), float(match[0] in self.known))
            for match in WORD.finditer(text)
        ]


def found(text: str, network: Knowing) -> list[tuple[str, str]]:
    """Give what is found with such a network, in words."""
    return [(span.entity, text[span.start : span.end]) for span in reading.spans(network, text, 0.5)]


def plain(text: str, place: float = 0.0) -> list[Word]:
    """Give the words of a text that the network knows nothing of."""
    return [Word(*match.span(), match[0], 0.0, place) for match in WORD.finditer(text)]


@pytest.mark.parametrize("length", [0, 1, 479, 480, 481, 900, 5000])
@pytest.mark.parametrize("most", [10_000, 100])
def test_every_token_is_read_once(length: int, most: int) -> None:
    """Windows give each token one answer, in order, also where one has to be halved."""
    text = ("ab cd efg " * 600)[:length]
    once = [(match.start(), match.end()) for match in WORD.finditer(text)]
    starts = [token.start for token in windows.tokens(Knowing(most=most), text)]
    assert starts == sorted(set(starts))
    assert {start for start, _ in once} <= set(starts)


def test_windows_are_as_long_as_they_are_said_to_be() -> None:
    """480 characters each, 64 of them shared."""
    network = Knowing()
    list(windows.tokens(network, " ".join(map(str, range(1000, 1400)))))
    assert network.read == [480, 480, 480, 480, 1999 - 4 * (480 - 64)]


def test_what_repeats_itself_is_read_once() -> None:
    """A long text of the same words over and over takes the network a few windows, and loses no token."""
    network = Knowing()
    assert len(list(windows.tokens(network, "x " * 100_000))) == 100_000
    assert len(network.read) == 2


def test_a_word_is_as_likely_as_its_likeliest_token() -> None:
    """Tokens that share a word make it one; what no token covers is unlikely."""
    tokens = [Token(0, 2, 0.1, 0.0), Token(2, 5, 0.9, 0.2)]
    first, second = words.words("Marek is", tokens)
    assert (first.text, first.name, first.place) == ("Marek", 0.9, 0.2)
    assert (second.text, second.score) == ("is", 0.0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("I am from Estonia", ["Estonia"]),
        ("Rue de la Paix, France", ["France"]),
        ("New Zealand and the Czech Republic", ["New", "Zealand", "Czech", "Republic"]),
        ("ESTONIA", ["ESTONIA"]),
        ("in tunisia it is warm", ["tunisia"]),
        ("They said Tunisia, not tunisia", ["Tunisia"]),
        ("a jersey and a turkey from china", []),
        ("they fly to Nice tomorrow", ["Nice"]),
        ("Nice work, Reading books is fun", []),
        ("Bosnia and Herzegovina", ["Bosnia", "and", "Herzegovina"]),
        ("S\u00e3o Paulo or Sao Paulo: from Sao Paulo", ["Sao", "Paulo"]),
    ],
)
def test_known_places_are_raised(text: str, wanted: list[str]) -> None:
    """Countries by themselves, cities after a word of place, in any case that makes sense."""
    raised = [word.text for word in places.with_known_places(text, plain(text)) if word.place >= places.SCORE]
    assert raised == wanted


def test_a_person_stays_a_person() -> None:
    """Georgia and Jordan are places unless the network sees a person."""
    assert found("Jordan is near Georgia", Knowing(names={"Jordan"})) == [("PERSON", "Jordan"), ("LOCATION", "Georgia")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Unit 0822 Box 8858\nDPO AA 13319", "Unit 0822 Box 8858\nDPO AA 13319"),
        ("psc 5420, box 2708\napo aa 33879", "psc 5420, box 2708\napo aa 33879"),
        ("USNS Bergman\nFPO AP 93757", "USNS Bergman\nFPO AP 93757"),
        ("it is P.O. Box 242 there", "P.O. Box 242"),
        ("Postfach 1234 bitte", "Postfach 1234"),
        ("wohnt in der Hauptstra\u00dfe 12a nebenan", "Hauptstra\u00dfe 12a"),
        ("at 12 Baker Street now", "12 Baker Street"),
        ("en la Calle de Alcal\u00e1 50 vive", "Calle de Alcal\u00e1 50"),
        ("na ul. Zamkowa 33 stoi", "ul. Zamkowa 33"),
        ("via the api 5", None),
        ("5 minutes down the road", None),
        ("considering 01-Jan-0001", None),
        ("Brigade 5 and String 3", None),
        ("test suite 3 and unit 7", None),
    ],
)
def test_addresses_are_raised_by_their_form(text: str, wanted: str | None) -> None:
    """Streets, boxes and military post in several languages; nothing that only sounds like one."""
    raised = [word for word in addresses.with_addresses(text, plain(text)) if word.place >= addresses.SCORE]
    assert (text[raised[0].start : raised[-1].end] if raised else None) == wanted


def test_a_flat_counts_beside_a_place() -> None:
    """A suite is part of an address where a place is near, and nothing elsewhere."""
    beside = found("Suite 787\nKangerlussuaq", Knowing(known={"Kangerlussuaq"}))
    assert beside == [("LOCATION", "Suite 787\nKangerlussuaq")]
    assert found("Suite 787 of the tests failed", Knowing()) == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("see Dr. Wells about it", "Wells"),
        ("Mr Johann Sebastian Bach played", "Johann Sebastian Bach"),
        ("call me Al", "Al"),
        ("mein Name ist Uwe Stein", "Uwe Stein"),
        ("je m'appelle Zo\u00e9", "Zo\u00e9"),
        ("my name is not important", None),
        ("a drone, a sir and a miss", None),
        ("Dr. No. 5", "No"),
    ],
)
def test_a_cue_makes_a_name(text: str, wanted: str | None) -> None:
    """What follows a title or "my name is" and is written large is a name."""
    raised = [word for word in cues.with_cued_names(text, plain(text)) if word.name >= cues.SCORE]
    assert (text[raised[0].start : raised[-1].end] if raised else None) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("as Angela Merkel said", "Angela Merkel"),
        ("as Angela M. Brown said", "Angela M. Brown"),
        ("John: are you coming", "John"),
        ("so\n  Mary: yes", "Mary"),
        ("dear Anna, thanks", "Anna"),
        ("said Anna. The parcel", None),
        ("angela merkel and ANGELA MERKEL", None),
        ("key John: value", None),
        ("in Paris Hilton stayed", None),
        ("Grace Period and Mark Up", None),
    ],
)
def test_a_known_given_name_makes_a_person(text: str, wanted: str | None) -> None:
    """With a word written large behind it, at the head of a line, or after a greeting; not by itself."""
    raised = [word for word in givennames.with_given_names(text, plain(text)) if word.name >= givennames.SCORE]
    assert (text[raised[0].start : raised[-1].end] if raised else None) == wanted


def test_neighbours_are_one_span() -> None:
    """A name of several words is one span, over a full stop but not over a line or a comma."""
    network = Knowing(names={"Janka", "M", "Sz\u00e1sz", "Bob"})
    assert found("Janka M. Sz\u00e1sz, Bob\nBob", network) == [
        ("PERSON", "Janka M. Sz\u00e1sz"),
        ("PERSON", "Bob"),
        ("PERSON", "Bob"),
    ]


def test_numbers_alone_are_no_place() -> None:
    """Digits belong to a place beside them, and are none by themselves."""
    network = Knowing(known={"02118", "Boston"})
    assert found("02118", network) == []
    assert found("Boston 02118", network) == [("LOCATION", "Boston 02118")]


def test_what_touches_a_sure_word_needs_less() -> None:
    """A word that is unlikely by itself is taken beside one that is not."""
    pair = [Word(0, 5, "Alena", 0.9, 0.0), Word(6, 16, "Precl\u00edkov\u00e1", 0.1, 0.0)]
    assert [span[:2] for span in spans.spans("Alena Precl\u00edkov\u00e1", pair, 0.5)] == [(0, 16)]
    assert spans.spans("Alena Precl\u00edkov\u00e1", [pair[1]], 0.5) == []


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000,
        "Aa " * 70_000,
        "a-" * 100_000,
        "a'" * 100_000,
        "1 A " * 50_000,
        "12 Aaaa Bbbb Cccc " * 10_000,
        "Calle " * 30_000,
        "Calle A B C D " * 12_000,
        "unit 1 box 1 " * 15_000,
        "uss " + " " * 200_000,
        "PSC 12345," + " " * 200_000,
        "Apt " * 50_000,
        "Suite 1 " * 25_000,
        "Dr. " * 50_000,
        "New " * 50_000,
        "Anna " * 40_000,
        "Anna: " * 30_000,
        "Anna A. " * 25_000,
        "\u4eba" * 200_000,
        "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-" * 6_000,
        "\n" * 200_000,
        "._" * 100_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """200,000 characters made to trouble the expressions are read in seconds: the time grows with the length alone."""
    started = time.process_time()
    reading.spans(Knowing(names={"A", "Dr"}, known={"B"}), text, 0.5)
    assert time.process_time() - started < 6
