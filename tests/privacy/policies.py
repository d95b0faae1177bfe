"""Policies for tests, and texts with something in them."""

from __future__ import annotations

from securemem.policy import Policy
from securemem.policy.load import parse

EMAIL, PHONE, CARD = "sarah.connor@example.com", "+44 20 7946 0958", "4111 1111 1111 1111"


def policy(entities: str, more: str = "") -> Policy:
    """Give a policy by its entities, as they stand in YAML, and further lines of its file."""
    text = (
        "apiVersion: securemem/v1\nkind: RetentionPolicy\nmetadata: {name: mine}\n"
        f"pii:\n  engine: patterns\n  entities: {{{entities}}}\n{more}"
    )
    return parse(text, "mine.yaml", "00" * 32)


PSEUDONYMS = policy("EMAIL_ADDRESS: pseudonymise, PHONE_NUMBER: pseudonymise, CREDIT_CARD: redact")
REALISTIC = policy("EMAIL_ADDRESS: pseudonymise, PHONE_NUMBER: pseudonymise", "  pseudonyms: realistic\n")
