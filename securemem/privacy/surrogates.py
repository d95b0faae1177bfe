"""Names and numbers as a person might have, for models that do better with them than with tokens; by `faker`.

A surrogate stands for one value of one person's, and for no other; what sounds like it in a later text gets one of its
own. It has no word of what it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from securemem.errors import ConfigurationError
from securemem.privacy.vault import Entry, Vault

_TRIES = 50
_WORD = re.compile(r"\w+")
_SHORT = 2
"""Words up to so long are found in others by chance."""
_MAKERS: dict[str, str] = {
    "EMAIL_ADDRESS": "safe_email",
    "PHONE_NUMBER": "phone_number",
    "LOCATION": "city",
    "IP_ADDRESS": "ipv4_private",
    "MAC_ADDRESS": "mac_address",
    "CREDIT_CARD": "credit_card_number",
    "IBAN_CODE": "iban",
    "US_SSN": "ssn",
    "URL": "url",
    "ORGANIZATION": "company",
}


class Surrogates:
    """Makes surrogates in the language of a policy; an entity that it has no maker for keeps its token."""

    def __init__(self, language: str) -> None:
        """Load Faker.

        Raises:
            ConfigurationError: it is not installed, or does not know the language.
        """
        try:
            from faker import Faker  # noqa: PLC0415  (an extra)
        except ImportError:
            raise ConfigurationError(
                "pseudonyms: realistic needs the package faker: pip install 'securemem[realistic]'"
            ) from None
        try:
            self._faker: Any = Faker(language)
        except AttributeError:
            raise ConfigurationError(
                f"the package faker knows no language {language!r}: take pseudonyms: tokens"
            ) from None

    def make(self, entry: Entry, vault: Vault) -> Entry:
        """Give an entry with a surrogate that no other value has, or without one where none can be made."""
        maker = self._maker(entry, vault)
        for _ in range(_TRIES if maker is not None else 0):
            surrogate = maker() if maker is not None else ""
            if surrogate and not vault.is_taken(surrogate) and not _gives_away(surrogate, entry):
                return entry._replace(surrogate=surrogate)
        return entry

    def _maker(self, entry: Entry, vault: Vault) -> Callable[[], str] | None:
        if entry.token.entity != "PERSON":
            return getattr(self._faker, _MAKERS.get(entry.token.entity, ""), None)
        words = entry.text.split()
        known = vault.first(entry.token)
        renamed = _renamed(words, known) if known is not None else ""
        if renamed and not vault.is_taken(renamed):
            return lambda: renamed
        return lambda: " ".join([*(self._faker.first_name() for _ in words[:-1] or words), *self._last(words)])

    def _last(self, words: list[str]) -> list[str]:
        return [self._faker.last_name()] if len(words) > 1 else []


def _gives_away(surrogate: str, entry: Entry) -> bool:
    """Tell whether a word of the value stands in its surrogate; domains are nobody's, as values in examples have them.

    In an address names are written in one: there a word counts within another as well.
    """
    said, made = entry.text.casefold(), surrogate.casefold()
    if entry.token.entity == "URL":
        return False
    if entry.token.entity == "EMAIL_ADDRESS":
        said, made = said.partition("@")[0], made.partition("@")[0]
        if any(len(word) > _SHORT and word in made for word in _WORD.findall(said)):
            return True
    return not set(_WORD.findall(made)).isdisjoint(_WORD.findall(said))


def _renamed(words: list[str], known: Entry) -> str:
    """Give another wording of a name that has a surrogate: "Emma" for "Sarah", where Sarah Connor is Emma Johnson."""
    names = dict(zip((word.casefold() for word in known.text.split()), known.surrogate.split(), strict=False))
    made = [names.get(word.casefold(), "") for word in words]
    return " ".join(map(_in_the_case_of, made, words)) if all(made) else ""


def _in_the_case_of(name: str, word: str) -> str:
    if word.islower():
        return name.lower()
    return name.upper() if word.isupper() and len(word) > 1 else name
