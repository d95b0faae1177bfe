"""The words that a policy file is made of, as types: by their forms, or the few that there are."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from securemem.policy import durations

LANGUAGE_PATTERN = r"^[a-z]{2,3}$"
REGION_PATTERN = r"^[A-Z]{2}$"
VARIABLE_PATTERN = r"^[A-Z_][A-Z0-9_]*$"
ID_PATTERN = r"^[a-z][a-z0-9_.-]{0,63}$"
ARTICLE_PATTERN = r"^[a-z][a-z0-9.-]{1,63}$"
Language = Annotated[str, Meta(pattern=LANGUAGE_PATTERN)]
Region = Annotated[str, Meta(pattern=REGION_PATTERN)]
Variable = Annotated[str, Meta(pattern=VARIABLE_PATTERN)]
Right = Literal["read", "write", "erase", "export", "hold", "reveal", "audit"]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Id = Annotated[str, Meta(pattern=ID_PATTERN)]
Span = Annotated[
    str,
    Meta(pattern=durations.PATTERN, description="A whole number and a unit: s, m, h, d, w, mo, y.", examples=["90d"]),
]
Article = Annotated[
    str, Meta(pattern=ARTICLE_PATTERN, description="The article that allows it.", examples=["gdpr-17-3-b"])
]
Regime = Literal["gdpr", "ukgdpr", "ccpa", "lgpd", "hipaa"]
Brake = Literal["ttl_shortened", "rule_removed", "hold_override"]
