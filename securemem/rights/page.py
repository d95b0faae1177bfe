"""An export as a page for the person that it is about: one HTML file that asks nothing of any network.

It is to be understood without a lawyer, read on a phone, in the dark, and on paper. It has no script and no picture,
and says to browsers that it may load nothing. All that comes from the store is escaped. Pure: objects in, text out.
"""

from __future__ import annotations

import json
from datetime import datetime
from html import escape
from typing import Any

from securemem.rights.holdings import Holdings

_SPEAKERS = {
    "user": "User",
    "human": "User",
    "assistant": "Assistant",
    "ai": "Assistant",
    "system": "Instructions to the assistant",
    "developer": "Instructions to the assistant",
    "tool": "A tool of the assistant",
    "function": "A tool of the assistant",
}
_UNITS = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_STYLE = """
:root{color-scheme:light dark;--ink:#1c2024;--soft:#5b6470;--line:#d9dee4;--paper:#fff;--tint:#f4f6f8;--mark:#0b5cad}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#a0a9b3;--line:#343b43;--paper:#15181b;--tint:#1e2327;
--mark:#7ab8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:46rem;margin:0 auto;padding:2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.3rem;margin:2.6rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line)}
h3{font-size:1.05rem;margin:2rem 0 .3rem;overflow-wrap:anywhere}
p{margin:.5rem 0}.soft{color:var(--soft);font-size:.92rem}
dl.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.7rem;margin:1.2rem 0}
dl.facts div{background:var(--tint);border-radius:.6rem;padding:.8rem 1rem}
dl.facts dt{color:var(--soft);font-size:.88rem}dl.facts dd{margin:0;font-size:1.5rem;font-weight:600}
ol.talk{list-style:none;margin:.6rem 0;padding:0}
ol.talk li{border-left:3px solid var(--line);padding:.15rem 0 .15rem .9rem;margin:.8rem 0;content-visibility:auto;
contain-intrinsic-size:auto 5rem;break-inside:avoid}
ol.talk li.user{border-color:var(--mark)}
.who{font-weight:600}.said{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--tint);padding:.6rem;border-radius:.4rem;
font-size:.88rem;margin:.3rem 0}
table{border-collapse:collapse;width:100%;font-size:.95rem}
th,td{text-align:left;padding:.45rem .6rem .45rem 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:anywhere}
.note{background:var(--tint);border-left:3px solid var(--mark);padding:.7rem 1rem;border-radius:.3rem}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--tint:#fff;--mark:#000}
body{font-size:11pt}main{max-width:none;padding:0}ol.talk li{content-visibility:visible}h2,h3{break-after:avoid}}
"""
_RIGHTS = (
    ("See it", "You may have a copy of all that is held of you, and be told why. This is that copy.", "Art. 15"),
    ("Put it right", "What is wrong here you may have corrected.", "Art. 16"),
    (
        "Have it deleted",
        "You may ask for all of it to be erased. The law has exceptions; you are told of them.",
        "Art. 17",
    ),
    ("Have it left alone", "You may ask that it is kept and not used, while a question is settled.", "Art. 18"),
    ("Take it with you", "You may have it as a file that other services can read.", "Art. 20"),
    ("Object", "You may object to what it is used for.", "Art. 21"),
    ("Complain", "You may complain to the data protection authority where you live or work.", "Art. 77"),
)


class Page:
    """Makes the page, a piece at a time (`formats.Writer`)."""

    def __init__(self, holdings: Holdings) -> None:
        """Take what is held in numbers, which stands at the top."""
        self._holdings = holdings
        self._in_talk = self._in_sessions = self._in_tokens = False
        self._session: str | None = None

    def take(self, item: dict[str, Any]) -> str:
        """As `formats.Writer`."""
        if item["kind"] == "export":
            return self._begin(item)
        if item["kind"] == "session":
            self._session = item["session_id"]
            return self._close() + self._heading() + _session(item) + self._open()
        if item["kind"] == "message":
            begun = ""
            if item["session_id"] is None and (self._session is not None or not self._in_talk):
                self._session = None
                begun = self._close() + self._heading() + _ELSEWHERE + self._open()
            return begun + _message(item)
        begun = ""
        if not self._in_tokens:
            begun, self._in_tokens = self._close() + _TOKENS, True
        return (
            f"{begun}<tr><td><code>{escape(item['token'])}</code></td><td dir=auto>{escape(item['text'])}</td></tr>\n"
        )

    def end(self) -> str:
        """As `formats.Writer`."""
        tokens = "</tbody></table>\n" if self._in_tokens else ""
        return f"{self._close()}{tokens}{_rights()}</main>\n</body>\n</html>\n"

    def _heading(self) -> str:
        first, self._in_sessions = not self._in_sessions, True
        return "<h2>What was said</h2>\n" if first else ""

    def _open(self) -> str:
        self._in_talk = True
        return "<ol class=talk>\n"

    def _close(self) -> str:
        closed, self._in_talk = ("</ol>\n" if self._in_talk else ""), False
        return closed

    def _begin(self, item: dict[str, Any]) -> str:
        held = self._holdings
        if held.handle is None:
            said = "<p class=note>Nothing is held of you here.</p>\n"
        else:
            facts = [("Conversations of yours", len(held.sessions)), ("Messages in them", _own(held))]
            facts += [("Messages elsewhere", held.visits)] if held.visits else []
            boxes = "".join(f"<div><dt>{what}</dt><dd>{count:,}</dd></div>" for what, count in facts)
            said = f"<dl class=facts>{boxes}</dl>\n{_standing(item)}{_why(item)}{_how_long(item)}{_recipients(item)}"
        return (
            "<!doctype html>\n<html lang=en>\n<head>\n<meta charset=utf-8>\n"
            "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            '<meta name=viewport content="width=device-width, initial-scale=1">\n'
            "<meta name=referrer content=no-referrer>\n"
            f"<title>What is held about you</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
            f"<h1>What is held about you</h1>\n<p class=soft>For <b dir=auto>{escape(item['user_id'])}</b>, as of "
            f"{_moment(item['at'])}. This page is personal: keep it where nobody else reads it.</p>\n{said}"
        )


_ELSEWHERE = (
    "<h3>In other people's conversations</h3>\n<p class=soft>Messages about you. Whose conversations they are is "
    "not shown, for that is about somebody else.</p>\n"
)
_TOKENS = (
    "<h2>Stand-ins for your details</h2>\n<p>In place of some details of yours, AI models are shown stand-ins, so that "
    "they do not learn the details themselves.</p>\n<table><thead><tr><th>Stand-in</th><th>Stands for</th></tr></thead>"
    "<tbody>\n"
)


def _own(held: Holdings) -> int:
    return sum(session.messages for session in held.sessions)


def _standing(item: dict[str, Any]) -> str:
    notes = []
    if item["restricted"]:
        notes.append("Your data is restricted: it is kept, and not used, until that is lifted.")
    if item["holds"]:
        notes.append("Some of it has to be kept for a legal matter, and is not deleted before that is over.")
    return "".join(f"<p class=note>{note}</p>\n" for note in notes)


def _why(item: dict[str, Any]) -> str:
    said = "<p>It is the memory of an AI assistant: what was said before, so that the assistant can go on from there."
    if item["purposes"]:
        named = ", ".join(f"<b>{escape(purpose)}</b>" for purpose in item["purposes"])
        said += f" What is kept here can be for: {named}. Where a message is for one of these, it says so."
    return f"<h2>Why it is held</h2>\n{said}</p>\n"


def _how_long(item: dict[str, Any]) -> str:
    terms = item["retention"]
    if terms["default"] is not None:
        said = f"As a rule a message is deleted {_span(terms['default'])} after it was said."
    elif terms["at_most"] is not None:
        said = f"A message is deleted at the latest {_span(terms['at_most'])} after it was said."
    else:
        said = "No general time is set after which messages are deleted."
    rows = "".join(_term(rule) for rule in terms["rules"])
    table = (
        "<table><thead><tr><th>Rule</th><th>Deleted after</th><th>Kept at least</th><th>Because of</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>\n"
        if rows
        else ""
    )
    return f"<h2>Until when</h2>\n<p>{said} Each message below says until when it is kept.</p>\n{table}"


def _term(rule: dict[str, Any]) -> str:
    cells = (rule["id"], _span(rule["ttl"]), _span(rule["keep_for"]), rule["basis"] or rule["purpose"] or "")
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _recipients(item: dict[str, Any]) -> str:
    if not item["recipients"]:
        return "<h2>Who was given it</h2>\n<p>Nobody outside is named as a recipient.</p>\n"
    rows = "".join(f"<li>{escape(name)}</li>" for name in item["recipients"])
    return f"<h2>Who was given it</h2>\n<ul>{rows}</ul>\n"


def _rights() -> str:
    rows = "".join(
        f"<tr><th>{name}</th><td>{what}</td><td class=soft>{article}</td></tr>" for name, what, article in _RIGHTS
    )
    return (
        "<h2>What you can ask for</h2>\n<p>It costs nothing, and has to be answered within a month. Write to whoever "
        "gave you this page. The articles are those of the GDPR; laws elsewhere give like rights.</p>\n"
        f"<table><tbody>{rows}</tbody></table>\n"
    )


def _session(item: dict[str, Any]) -> str:
    tags = f", marked {escape(', '.join(item['tags']))}" if item["tags"] else ""
    held = " It has to be kept for a legal matter." if item["held"] else ""
    name = escape(item["session_id"]) if item["session_id"] else "A conversation that has ended"
    plural = "" if item["messages"] == 1 else "s"
    return (
        f"<h3 dir=auto>{name}</h3>\n<p class=soft>Begun {_moment(item['created_at'])}, {item['messages']:,} "
        f"message{plural}{tags}.{held}</p>\n"
    )


def _message(item: dict[str, Any]) -> str:
    content, until = item["content"], item["retention"]["until"]
    if isinstance(content, str):
        said = f"<p class=said dir=auto>{escape(content)}</p>"
    else:
        said = f"<pre dir=auto>{escape(json.dumps(content, ensure_ascii=False, indent=1))}</pre>"
    about = [_moment(item["timestamp"]) if item["timestamp"] else ""]
    about.append(f"kept until {_moment(until)}" if until else "no end is set")
    about += [f"for {escape(item['purpose'])}"] if item["purpose"] else []
    about += [f"about {escape(item['user_id'])}"] if item["user_id"] and item["session_id"] is not None else []
    more = ""
    if item["metadata"]:
        more = f"<pre dir=auto>{escape(json.dumps(item['metadata'], ensure_ascii=False))}</pre>"
    who = _SPEAKERS.get(item["role"], item["role"])
    kind = " class=user" if who == "User" else ""
    line = " · ".join(part for part in about if part)
    return f"<li{kind}><span class=who>{escape(who)}</span> <span class=soft>{line}</span>{said}{more}</li>\n"


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _span(text: str | None) -> str:
    """Give a duration in words."""
    if text is None:
        return ""
    count = text.rstrip("smhdwoy")
    unit = _UNITS[text[len(count) :]]
    return f"{int(count):,} {unit}{'' if count == '1' else 's'}"
