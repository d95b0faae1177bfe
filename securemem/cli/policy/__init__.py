"""`securemem policy`: checks, tests and compares policies, and shows what they do."""

from securemem.cli.policy import check, compare, plan, scan, schema
from securemem.cli.policy.group import app

__all__ = ["app", "check", "compare", "plan", "scan", "schema"]
