"""What a policy file may say: its parts as types, by which it is checked.

Of the parts that this version does not carry out yet only the names are known; whoever opens a store under a policy
that has one is refused (`carry`), and `policy scan` looks at `pii` alone.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Language = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")]
Region = Annotated[str, Meta(pattern=r"^[A-Z]{2}$")]
Right = Literal["read", "write", "erase", "export", "hold", "reveal", "audit"]
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a policy, in which every key is known."""


class Metadata(Strict, frozen=True, kw_only=True):
    """What a policy says of itself.

    Attributes:
        name: by which receipts name it.
        version: of this policy, by whoever wrote it.
        owner: who answers for it.
        review_by: when somebody should look at it again.
    """

    name: Name
    version: Annotated[int, Meta(ge=1)] = 1
    owner: str | None = None
    review_by: dt.date | None = None


class Pii(Strict, frozen=True, kw_only=True):
    """How personal data is found, and what is done with it.

    Attributes:
        engine: "patterns", "ner", "presidio", "accurate", or one that another package brings.
        entities: what is looked for, by presidio's names, and its treatment.
        languages: of the texts, by ISO 639-1.
        regions: whose national numbers are looked for, by ISO 3166-1; those of the engine's own choice if none.
        threshold: how sure the engine has to be.
        model: the name or the folder of the engine's model.
        pseudonyms: whether they are tokens such as `[PERSON_1]`, or names and numbers as a person might have.
        options: what only this engine knows.
    """

    engine: Name = "patterns"
    entities: dict[str, str]
    languages: Annotated[tuple[Language, ...], Meta(min_length=1)] = ("en",)
    regions: tuple[Region, ...] = ()
    threshold: Annotated[float, Meta(gt=0, le=1)] | None = None
    model: str | None = None
    pseudonyms: Literal["tokens", "realistic"] = "tokens"
    options: dict[str, Any] = {}


class Access(Strict, frozen=True, kw_only=True):
    """Who may do what.

    Attributes:
        roles: their rights. An actor is of the role that its name begins with, up to a colon: `agent:clinic-bot`.
        purposes: the actors that a purpose is for.
    """

    roles: dict[str, tuple[Right, ...]] = {}
    purposes: dict[str, tuple[str, ...]] = {}


class File(Strict, frozen=True, kw_only=True):
    """The whole file."""

    api_version: Literal["securemem/v1"] = msgspec.field(name="apiVersion")
    kind: Literal["RetentionPolicy"]
    metadata: Metadata
    pii: Pii | None = None
    access: Access | None = None
    defaults: Any = None
    bounds: Any = None
    rules: Any = None
    erasure: Any = None
    requests: Any = None
    safety: Any = None
    tests: Any = None


NOT_CARRIED_OUT = ("defaults", "bounds", "rules", "erasure", "requests", "safety", "tests")
