"""SecureMem: the encrypted memory of AI agents, for people who answer for personal data."""

from securemem.errors import (
    AccessDeniedError,
    BackendUnavailableError,
    ConfigurationError,
    ConflictError,
    CorruptRecordError,
    DetectionError,
    ExpiredError,
    IntegrityError,
    InvalidInputError,
    KMSUnavailableError,
    LegalHoldError,
    NotReadyError,
    PIIBlockedError,
    PlaintextError,
    PolicyError,
    ReorderedError,
    SecureMemError,
    UserErasedError,
    UserRestrictedError,
    WrongKeyError,
)
from securemem.memory import SecureMemory
from securemem.model import Message, Residue, SessionInfo
from securemem.rights.receipt import Receipt
from securemem.session import Session

__all__ = [
    "AccessDeniedError",
    "BackendUnavailableError",
    "ConfigurationError",
    "ConflictError",
    "CorruptRecordError",
    "DetectionError",
    "ExpiredError",
    "IntegrityError",
    "InvalidInputError",
    "KMSUnavailableError",
    "LegalHoldError",
    "Message",
    "NotReadyError",
    "PIIBlockedError",
    "PlaintextError",
    "PolicyError",
    "Receipt",
    "ReorderedError",
    "Residue",
    "SecureMemError",
    "SecureMemory",
    "Session",
    "SessionInfo",
    "UserErasedError",
    "UserRestrictedError",
    "WrongKeyError",
]
