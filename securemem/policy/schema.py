"""What a policy file may say: its parts as types, by which it is checked and of which its JSON Schema is made."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from securemem.policy.words import Article, Brake, Id, Language, Name, Regime, Region, Right, Span, Variable


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


class Defaults(Strict, frozen=True, kw_only=True):
    """What holds for a record that no rule matches, and where a rule says nothing.

    Attributes:
        ttl: how long a record lives; for good if not given.
        clock: from when that is counted: the hour in which the record came.
        on_unclassified: what becomes of a record whose class is not known: "quarantine" keeps it, out of sight, until
            somebody looks; "defaults" treats it as one that no rule matches.
    """

    ttl: Span | None = None
    clock: Literal["created_at"] = "created_at"
    on_unclassified: Literal["quarantine", "defaults"] = "quarantine"


class Bounds(Strict, frozen=True, kw_only=True):
    """What no rule's `ttl` goes beyond; what a caller asks for may be shorter.

    Attributes:
        min_ttl: the shortest, and
        max_ttl: the longest that it can be; also of what has no `ttl`.
    """

    min_ttl: Span | None = None
    max_ttl: Span | None = None


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


class Match(Strict, frozen=True, kw_only=True):
    """Which records a rule is for: those of which all that stands here is true.

    Attributes:
        tag: the message has this tag (`metadata={"tags": […]}`), or its session has.
        session_tag: its session has this tag.
        entity: this was found in it when it was written.
        purpose: it was written for this purpose.
        any: at least one of these is true of it.
        all: each of these is.
    """

    tag: Name | UnsetType = UNSET
    session_tag: Name | UnsetType = UNSET
    entity: Name | UnsetType = UNSET
    purpose: Name | UnsetType = UNSET
    any: Annotated[tuple[Match, ...], Meta(min_length=1)] | UnsetType = UNSET
    all: Annotated[tuple[Match, ...], Meta(min_length=1)] | UnsetType = UNSET


class Basis(Strict, frozen=True, kw_only=True):
    """Why something has to be kept, even where a person asks to be forgotten.

    Attributes:
        article: of the data-protection law, which allows it: `gdpr-17-3-b`.
        law: which demands it: `HGB §257`.
    """

    article: Article
    law: Name | None = None


class Rule(Strict, frozen=True, kw_only=True):
    """What holds for some records.

    Attributes:
        id: by which decisions name it.
        match: which records.
        ttl: how long they live; of several rules the shortest holds.
        keep_for: how long they are kept at least; of several rules the longest holds.
        keep_basis: what demands that; with it an erasure restricts them instead.
        while_kept: what may be done with them after their life is over: "restrict" keeps them out of sight, "use" goes
            on showing them.
        purpose: what they are for; `access.purposes` says for whom.
        on_write: how personal data in them is treated instead of how `pii` says: entities by treatment.
    """

    id: Id
    match: Match
    ttl: Span | None = None
    keep_for: Span | None = None
    keep_basis: Basis | None = None
    while_kept: Literal["restrict", "use"] | None = None
    purpose: Name | None = None
    on_write: dict[str, tuple[str, ...]] = {}


class Targets(Strict, frozen=True, kw_only=True):
    """By when an erasure is through.

    Attributes:
        key: from when keys are gone,
        rows: rows are, and
        backups: backups are.
    """

    key: Span | None = None
    rows: Span | None = None
    backups: Span | None = None


class Recipient(Strict, frozen=True, kw_only=True):
    """Somebody who was given personal data and has to be told of an erasure.

    Attributes:
        id: by which receipts name it.
        url_env: the environment variable that holds the URL to call.
        ack_within: how long it may take to confirm.
    """

    id: Id
    url_env: Variable
    ack_within: Span = "7d"


class Erasure(Strict, frozen=True, kw_only=True):
    """What is promised of an erasure, and who is told of it."""

    targets: Targets = Targets()
    notify: tuple[Recipient, ...] = ()


class Requests(Strict, frozen=True, kw_only=True):
    """Whose deadlines requests of data subjects have.

    Attributes:
        regimes: the laws.
        log_retention: how long the log of requests is kept.
    """

    regimes: tuple[Regime, ...] = ()
    log_retention: Span | None = None


class Access(Strict, frozen=True, kw_only=True):
    """Who may do what.

    Attributes:
        roles: their rights. An actor is of the role that its name begins with, up to a colon: `agent:clinic-bot`.
        purposes: the actors that a purpose is for.
    """

    roles: dict[str, tuple[Right, ...]] = {}
    purposes: dict[str, tuple[str, ...]] = {}


class MaxDelete(Strict, frozen=True, kw_only=True):
    """What may be deleted by rules in one pass without a word from somebody: as much as the larger of the two.

    Attributes:
        percent: of all records.
        records: in number.
    """

    percent: Annotated[float, Meta(ge=0, le=100)] = 0
    records: Annotated[int, Meta(ge=0)] = 0


class Safety(Strict, frozen=True, kw_only=True):
    """What keeps a mistake in a policy from costing data.

    Attributes:
        max_delete: beyond it workers wait for `policy apply`.
        after_change: "plan_only": workers delete nothing by a changed policy until `policy apply`; "apply": at once.
        two_person: changes that a second person has to approve.
    """

    max_delete: MaxDelete | None = None
    after_change: Literal["plan_only", "apply"] = "apply"
    two_person: tuple[Brake, ...] = ()


class Given(Strict, frozen=True, kw_only=True):
    """A record as a test of a policy sees it, and what has happened to it.

    Attributes:
        tag: one that the message has; `tags` for several. Likewise with session_tag and entity.
        purpose: that it was written for.
        age: how long ago it came; just now if not given.
        ttl: that the caller asked for.
        event: what has happened: a verified `erasure`, a `restriction`, a legal `hold`.
        unclassified: whether its class is not known.
    """

    tag: Name | None = None
    tags: tuple[Name, ...] = ()
    session_tag: Name | None = None
    session_tags: tuple[Name, ...] = ()
    entity: Name | None = None
    entities: tuple[Name, ...] = ()
    purpose: Name | None = None
    age: Span | None = None
    ttl: Span | None = None
    event: Literal["erasure", "restriction", "hold"] | None = None
    unclassified: bool = False


class Expected(Strict, frozen=True, kw_only=True):
    """What has to be decided.

    Attributes:
        action: what is done.
        rule: by which rule, or "defaults", "bounds", "call" (what the caller asked for), "hold", "erasure",
            "restriction", "unclassified".
    """

    action: Literal["keep", "restrict", "delete", "quarantine"]
    rule: Name | None = None


class Case(Strict, frozen=True, kw_only=True):
    """One expectation that a policy carries with it."""

    given: Given
    expect: Expected


class File(Strict, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        extends: the policy that this one begins with: a shipped one's name, or a file beside this one.
        environments: by name, what is different there.
    """

    api_version: Literal["securemem/v1"] = msgspec.field(name="apiVersion")
    kind: Literal["RetentionPolicy"]
    metadata: Metadata
    extends: Name | None = None
    defaults: Defaults = Defaults()
    bounds: Bounds = Bounds()
    pii: Pii | None = None
    rules: tuple[Rule, ...] = ()
    erasure: Erasure = Erasure()
    requests: Requests = Requests()
    access: Access | None = None
    safety: Safety = Safety()
    tests: tuple[Case, ...] = ()
    environments: dict[str, dict[str, Any]] = {}
