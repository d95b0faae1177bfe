"""Gives texts back as they were said, and shows them as a model reads them. Pure: the vaults are the caller's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime

from msgspec.structs import replace

from securemem import codec
from securemem.model import Message
from securemem.privacy import tokens
from securemem.privacy.leaves import Leaf, rebuild
from securemem.privacy.tokens import Token
from securemem.privacy.vault import Vault, is_word

_A_WORD = "_"
"""Stands for a word that was given already; no surrogate begins with it."""


def original(message: Message, vault: Vault, now: datetime) -> Message:
    """Give a stored message as it was said; what its person's vault does not hold any more stays a token."""
    if not message.pseudonymised:
        return message

    def value(token: Token) -> str | None:
        entry = vault.get(token, now)
        return entry.text if entry is not None else None

    return _rewritten(message, lambda leaf: tokens.replace(leaf.text, value), pseudonymised=False)


def as_read_by_models(message: Message, vault: Vault, now: datetime, *, guest: str = "") -> Message:
    """Give a stored message with pseudonyms: also for what was found first in a later one.

    Args:
        message: as it is stored.
        vault: its person's.
        now: entries past their time are not looked for.
        guest: the mark of its person, where that is not the session's owner.
    """

    def shown(token: Token) -> str:
        entry = vault.get(token, now)
        if entry is not None and entry.surrogate:
            return entry.surrogate
        return str(token._replace(guest=guest))

    def concealed(leaf: Leaf) -> str:
        return _concealed(leaf, vault, now, shown, marked=message.pseudonymised)

    return _rewritten(message, concealed, pseudonymised=True)


def _concealed(leaf: Leaf, vault: Vault, now: datetime, shown: Callable[[Token], str], *, marked: bool) -> str:
    """Put pseudonyms in place of tokens and of what stands in clear; mark what looks like a token, if it is not yet."""
    pieces: list[str] = []
    done, text = 0, leaf.text
    for start, end, token in _pseudonyms(leaf, vault, now, marked=marked):
        between = text[done:start]
        pieces += (between if marked else tokens.escape(between), shown(token))
        done = end
    pieces.append(text[done:] if marked else tokens.escape(text[done:]))
    return "".join(pieces)


def _pseudonyms(leaf: Leaf, vault: Vault, now: datetime, *, marked: bool) -> list[tuple[int, int, Token]]:
    found: list[tuple[int, int, Token]] = []
    text = leaf.text
    if marked:
        found = [(each.start(), each.end(), tokens.token_of(each)) for each in tokens.TOKEN.finditer(text)]
    for span in vault.find(text, now, is_identifier=leaf.is_identifier):
        entry = vault.nearest(span.entity, text[span.start : span.end], now)
        if entry is not None and not any(span.start < end and start < span.end for start, end, _ in found):
            found.append((span.start, span.end, entry.token))
    return sorted(found)


def revealed(text: str, vaults: Mapping[str, Vault], now: datetime) -> str:
    """Give a model's text with values in place of pseudonyms.

    Args:
        text: what the model said.
        vaults: of the session's owner under "", who comes first, and of its guests under their marks.
        now: what is past its time stays a token.
    """

    def value(token: Token) -> str | None:
        vault = vaults.get(token.guest)
        entry = vault.get(token._replace(guest=""), now) if vault is not None else None
        return entry.text if entry is not None else None

    pieces: list[str] = []
    done = 0
    for start, end, original in _surrogates(text, vaults, now):
        if start >= done:
            pieces += (tokens.replace(text[done:start], value), original)
            done = end
    pieces.append(tokens.replace(text[done:], value))
    return "".join(pieces)


def _surrogates(text: str, vaults: Mapping[str, Vault], now: datetime) -> list[tuple[int, int, str]]:
    """Give where surrogates stand, ascending, and what they stand for."""
    found: list[tuple[int, int, str]] = []
    for vault in vaults.values():
        for start, end, token in vault.find_surrogates(text):
            entry = vault.get(token, now)
            if entry is not None:
                found.append((start, end, entry.text))
    return sorted(found) if len(vaults) > 1 else found


class Stream:
    """Reveals a text that comes in pieces: what may be the beginning of a pseudonym waits for its end."""

    def __init__(self, vaults: Mapping[str, Vault], now: datetime) -> None:
        """Take what `revealed` takes."""
        self._vaults = vaults
        self._now = now
        self._held = ""
        self._within = ""

    async def over(self, chunks: AsyncIterable[str] | Iterable[str]) -> AsyncGenerator[str, None]:
        """Go over a text that comes in pieces, and give what is ready.

        Raises:
            InvalidInputError: one of them is no text.
        """
        async for chunk in _each(chunks):
            if ready := self.feed(codec.check_text(chunk, "each piece of what is revealed")):
                yield ready
        if rest := self.end():
            yield rest

    def feed(self, chunk: str) -> str:
        """Take a piece, and give what is ready."""
        text = self._within + self._held + chunk
        ready = min(tokens.unfinished(text), *(vault.begins_surrogate(text) for vault in self._vaults.values()))
        return self._given(text, max(ready, len(self._within)))

    def end(self) -> str:
        """Give what is left."""
        text = self._within + self._held
        return self._given(text, len(text))

    def _given(self, text: str, ready: int) -> str:
        """Give what is ready, and keep whether it ends within a word: what goes on with it begins no surrogate."""
        given = revealed(text[:ready], self._vaults, self._now)[len(self._within) :]
        self._held = text[ready:]
        if ready:
            self._within = _A_WORD if is_word(text[ready - 1]) else ""
        return given


def _rewritten(message: Message, rewrite: Callable[[Leaf], str], *, pseudonymised: bool) -> Message:
    metadata = rebuild(message.metadata, rewrite) if message.metadata is not None else None
    content = rebuild(message.content, rewrite)
    return replace(message, content=content, metadata=metadata, pseudonymised=pseudonymised)


async def _each(chunks: AsyncIterable[str] | Iterable[str]) -> AsyncIterator[str]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
