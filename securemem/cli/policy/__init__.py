"""`securemem policy`: checks, tests and compares policies, and shows what they do."""

from securemem.cli.policy import check, compare, scan, schema
from securemem.cli.policy.group import app

__all__ = ["app", "check", "compare", "scan", "schema"]
