"""Policies: what is done with personal data, and for how long anything is kept."""

from securemem.policy.model import Policy
from securemem.policy.schema import Pii
from securemem.policy.shipped import find, resolve

__all__ = ["Pii", "Policy", "find", "resolve"]
