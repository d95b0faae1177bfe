"""What adapters and users test themselves with: contract suites for the ports, and a search for canaries.

A contract is a class of pytest tests (with `pytest-asyncio`). Subclass it in your own tests and give its one hook.
"""

from securemem.testing.backend import BackendContract
from securemem.testing.canary import Finding, assert_absent, assert_found, make_canary, pieces, search, search_bytes
from securemem.testing.engine import PIIEngineContract
from securemem.testing.keystore import KeystoreContract
from securemem.testing.kms import KmsContract
from securemem.testing.sink import AuditSinkContract

__all__ = [
    "AuditSinkContract",
    "BackendContract",
    "Finding",
    "KeystoreContract",
    "KmsContract",
    "PIIEngineContract",
    "assert_absent",
    "assert_found",
    "make_canary",
    "pieces",
    "search",
    "search_bytes",
]
