"""How far the recipients of a request are, and what that makes of the request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from securemem.ledger.outbox import Answer
from securemem.ledger.requests import RequestState
from securemem.model import Residue, from_milliseconds


class Standing(NamedTuple):
    """How many recipients are how far, and what those have still who did not confirm."""

    waiting: int
    given_up: int
    residue: list[Residue]


def standing_of(answers: Sequence[Answer], recipients: Sequence[str]) -> Standing:
    """Say how far recipients are; where nothing was queued, those of the policy were told nothing.

    Args:
        answers: of those to whom something was queued.
        recipients: the ids in the policy.
    """
    if not answers:
        untold = [Residue("recipients", f"what recipient {name!r} was given: tell them") for name in recipients]
        return Standing(0, len(untold), untold)
    acknowledged = sum(each.acked_at is not None for each in answers)
    given_up = sum(each.given_up_at is not None for each in answers)
    residue = [_residue(each) for each in answers if each.acked_at is None]
    return Standing(len(answers) - acknowledged - given_up, given_up, residue)


def state_after(standing: Standing, *, is_kept: bool) -> RequestState:
    """Give the state of a request that is done here: whom it waits for, and whether a part is kept by law."""
    if standing.waiting:
        return RequestState.AWAITING
    return RequestState.PARTIAL if is_kept or standing.given_up else RequestState.COMPLETE


def _residue(answer: Answer) -> Residue:
    what = f"what recipient {answer.recipient!r} was given"
    if answer.given_up_at is not None:
        since = from_milliseconds(answer.given_up_at)
        return Residue("recipients", f"{what}: it never confirmed, and was given up on {since:%Y-%m-%d}; tell them")
    return Residue("recipients", f"{what}: it is told, and has until {from_milliseconds(answer.ack_by):%Y-%m-%d}")
