"""EMAIL_ADDRESS: local part and domain (RFC 5321, RFC 6531 for other scripts); the domain's end is no file's ending."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.pattern import Pattern
from securemem.privacy.engines.patterns.views import low

LABEL: Final = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_ENDING: Final = r"(?:xn--[a-zA-Z0-9-]{2,59}|[a-zA-Z]{2,24}|[^\W\d_a-zA-Z]{2,24})(?![a-zA-Z0-9_@])"
_LATIN: Final = r"0-9A-Za-z_\u00c0-\u024f"
_LOCAL: Final = "|".join(
    rf"[{letters}+~#$%-](?:[{letters}.+~#$%&'*!?^-]{{0,62}}[{letters}+#$])?" for letters in (_LATIN, r"\w")
)
"""Read backwards. Where words are not divided by blanks, Latin letters before the "@" are not taken with others."""
_ENDINGS_OF_FILES: Final = (
    "bmp css csv doc docx gif gz htm html ico ini jar jpeg jpg js json jsx lock log mjs mp3 mp4 pdf png ppt svg tar "
    "tgz toml ts tsx txt wasm wav webp woff xls xlsx xml yaml yml"
)
_NO_DOMAINS: Final = frozenset(_ENDINGS_OF_FILES.split())
_REMOTES: Final = frozenset({"git", "hg", "svn"})


def mail_end(text: str, start: int, end: int) -> int:
    """Tell addresses from names of files and from the remotes of repositories (`git@host:path`)."""
    local, _, domain = text[start:end].rpartition("@")
    if domain.rpartition(".")[2].lower() in _NO_DOMAINS or text[max(0, start - 3) : start] == "://":
        return start
    return start if local in _REMOTES and text[end : end + 1] in {":", "/"} else end


ROWS: Final = (
    Pattern(
        name="mail",
        entity="EMAIL_ADDRESS",
        trigger=low("@"),
        regex=rf"@(?:{LABEL}\.){{1,8}}{_ENDING}",
        behind=_LOCAL,
        check=mail_end,
    ),
    Pattern(
        name="mail in a URL's query (RFC 3986, 2.1)",
        entity="EMAIL_ADDRESS",
        trigger=low("%40"),
        regex=rf"%40(?:{LABEL}\.){{1,8}}{_ENDING}",
        behind=_LOCAL,
    ),
    Pattern(
        name="mail with a quoted name",
        entity="EMAIL_ADDRESS",
        trigger=low("@"),
        also=(low('"@'),),
        regex=rf"\"@(?:{LABEL}\.){{1,8}}{_ENDING}",
        behind=r"[^\"\n]{1,62}\"",
    ),
    Pattern(
        name="mail at a number",
        entity="EMAIL_ADDRESS",
        trigger=low("@"),
        also=(low("@["),),
        regex=r"@\[(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[iI][pP][vV]6:[0-9a-fA-F:.]{2,45})\]",
        behind=_LOCAL,
    ),
)
