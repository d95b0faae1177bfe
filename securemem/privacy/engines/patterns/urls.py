"""URL: with a scheme (RFC 3986), with `www.`, and bare names under the endings that are nothing else."""

from __future__ import annotations

from typing import Final

from securemem.privacy.engines.patterns.pattern import SHAPED, TOLD, Pattern
from securemem.privacy.engines.patterns.views import ASSIGNED, NAME_WITH_DOT, low

_BODY: Final = r"[^\s<>\"'`{}|\\^\x00-\x1f]"
_TRAILING: Final = frozenset(".,;:!?*_~…。、")
_CLOSING: Final = {")": "(", "]": "["}
_HOST: Final = r"(?i:[^\W_](?:[\w.-]{0,70}[^\W_])?)(?![\w@./:-])"
_ENDINGS: Final = (
    r"(?:com|org|edu|gov|mil|museum|co\.(?:uk|jp|nz|za|in|kr|il|th|id|ke)|ac\.(?:uk|jp|nz|za|in|at)|org\.uk|gov\.uk|"
    r"(?:com|net|org)\.(?:au|br|mx|ar|tr|cn|sg|hk|tw|my|ph|pl|ua|co|pe|vn|sa|eg|pk|ng|cy))"
)
_SHORT: Final = r"(?:net|info|io|ai|dev|app|ly|gl|co|be|me|gg|to|de|fr|nl|es|it|eu|us|uk|ch|at|se|pl|ru|jp|in)"


def url_end(text: str, start: int, end: int) -> int:
    """Leave out what a sentence put behind it: punctuation, and brackets that it did not open (GFM, 6.9)."""
    while end > start:
        last = text[end - 1]
        opening = _CLOSING.get(last)
        if opening is not None:
            value = text[start:end]
            if value.count(last) <= value.count(opening):
                break
        elif last not in _TRAILING:
            break
        end -= 1
    return end


ROWS: Final = (
    Pattern(
        name="url",
        entity="URL",
        trigger=ASSIGNED,
        also=(low("://"),),
        regex=rf"://[\w\[%]{_BODY}{{1,2047}}",
        behind=r"[a-zA-Z0-9+]{1,14}[a-zA-Z](?![a-zA-Z0-9])",
        check=url_end,
        score=SHAPED,
    ),
    Pattern(
        name="url with www",
        entity="URL",
        trigger=NAME_WITH_DOT,
        also=(low("www."),),
        regex=rf"www\.(?<![\w./@-]www\.)\w{_BODY}{{2,2047}}",
        lower=True,
        check=url_end,
        score=SHAPED,
    ),
    Pattern(
        name="domain",
        entity="URL",
        trigger=NAME_WITH_DOT,
        regex=rf"\.{_ENDINGS}(?![\w@-]|\.\w)(?::[0-9]{{1,5}})?(?:[/?]{_BODY}{{0,2047}})?",
        behind=_HOST,
        lower=True,
        check=url_end,
        score=TOLD,
    ),
    Pattern(
        name="domain with a path",
        entity="URL",
        trigger=NAME_WITH_DOT,
        also=(low("/"),),
        regex=rf"\.{_SHORT}/[\w@%~#?-]{_BODY}{{0,2047}}",
        behind=_HOST,
        lower=True,
        check=url_end,
        score=TOLD,
    ),
)
