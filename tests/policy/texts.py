"""The beginning of a policy's text, and what becomes of one."""

from __future__ import annotations

import hashlib

import pytest

from securemem.errors import PolicyError
from securemem.policy import Policy
from securemem.policy.document import read
from securemem.policy.load import Loaded, _finish, parse

FILE = "mine.yaml"
HEAD = "apiVersion: securemem/v1\nkind: RetentionPolicy\n"
NAMED = HEAD + "metadata: {name: mine}\n"


def loaded(text: str) -> Policy:
    """Give the policy that a text is."""
    return parse(text, FILE, "00" * 32)


def whole(text: str) -> Loaded:
    """Give the policy that a text is, with what is odd about it."""
    return _finish(read(text, FILE), hashlib.sha256(), None)


def refused(text: str) -> str:
    """Give what is said of a text that is no policy, its place first."""
    with pytest.raises(PolicyError) as caught:
        loaded(text)
    assert caught.value.file == FILE
    assert min(caught.value.line or 0, caught.value.column or 0) >= 1
    return str(caught.value).removeprefix(f"{FILE}:")


def warned(text: str) -> list[str]:
    """Give what is odd about a text that is a policy, each with its place first."""
    return [str(warning).removeprefix(f"{FILE}:") for warning in whole(text).warnings]
