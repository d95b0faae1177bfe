"""What is said in the demo, by people who do not exist, and the words that its search looks for."""

from __future__ import annotations

import re
from typing import NamedTuple

from securemem.model import Message

_SHORTEST = 6
_STRIPPED = ".,?!:;()"


class Person(NamedTuple):
    """One made-up person and their conversation."""

    name: str
    user_id: str
    session_id: str
    said: tuple[tuple[str, str], ...]

    @property
    def messages(self) -> list[Message]:
        """Their conversation, ready to be stored."""
        return [Message(role, content) for role, content in self.said]


NORA = Person(
    "Nora",
    "nora.lindqvist@example.org",
    "pharmacy-chat-2291",
    (
        ("user", "Good evening, my name is Nora Lindqvist, born 14 March 1987."),
        ("assistant", "Good evening Nora. How can the pharmacy help tonight?"),
        ("user", "My doctor prescribed sertraline 50 mg, and the parcel never arrived in Uppsala."),
        ("assistant", "I am sorry. Which telephone may the courier call?"),
        ("user", "Please ring +46 70 174 06 05, or write to nora.lindqvist@example.org."),
        ("assistant", "Thanks. The refund for the lost parcel goes to which account?"),
        ("user", "IBAN SE45 5000 0000 0583 9825 7466. My flat is Kungsgatan 41, third floor."),
        ("assistant", "Noted: a fresh parcel leaves tomorrow morning for Kungsgatan."),
    ),
)
TOMAS = Person(
    "Tomás",
    "customer-80417",
    "travel-desk-77",
    (
        ("user", "Tomás Herrera here, passport XDB314159, flying Madrid to Oslo on Friday."),
        ("assistant", "Hello Tomás. Shall I book the aisle seat again?"),
        ("user", "Yes, and charge the Visa that ends in 4012, please. I need a wheelchair."),
        ("assistant", "Booked: seat 14C, wheelchair assistance confirmed."),
    ),
)
PHRASES = ("Nora", "Tomás", "+46 70 174 06 05", "SE45 5000 0000 0583", "14 March 1987", "sertraline 50 mg")


def words(*people: Person) -> list[str]:
    """Give what must be nowhere: ids, telling phrases, and every word of six letters or more."""
    texts = [content for person in people for _, content in person.said]
    tokens = {token.strip(_STRIPPED) for text in texts for token in re.split(r"\s+", text)}
    long = {token for token in tokens if len(token) >= _SHORTEST}
    ids = {name for person in people for name in (person.user_id, person.session_id)}
    phrases = {phrase for phrase in PHRASES if any(phrase in text for text in texts)}
    return sorted(long | ids | phrases)
