"""Policies: what is done with personal data, and for how long anything is kept."""

from securemem.policy.shipped import Policy, resolve

__all__ = ["Policy", "resolve"]
