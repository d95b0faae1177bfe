"""Every error that SecureMem raises, in one tree.

Messages carry handles, sequence numbers, file names and what to do next; never content, a key or a real id.

    SecureMemError
     ├─ IntegrityError            what is stored is not what was written (session, seq)
     │   ├─ WrongKeyError         the key at hand is not the one it was sealed under
     │   ├─ CorruptRecordError    bytes were changed, cut off or added
     │   ├─ ReorderedError        swapped, replayed, missing or rolled back
     │   └─ PlaintextError        something that was never sealed lies where a record should
     ├─ ExpiredError              the message asked for by its seq is past its time
     ├─ ConflictError             somebody else was there first
     ├─ UserErasedError           the person was forgotten while this handle was open
     ├─ UserRestrictedError       processing is restricted (GDPR Art. 18)
     ├─ LegalHoldError            erasure waits for a legal hold (request)
     ├─ PolicyError               the policy file is wrong (file, line, column, hint)
     ├─ PIIBlockedError           the policy refuses this kind of personal data (entity, start, end)
     ├─ DetectionError            a detector failed, so nothing was saved
     ├─ AccessDeniedError         the policy gives the actor no right to do this
     ├─ KMSUnavailableError       the KMS does not answer
     ├─ ModelError                a model did not answer, or not with what can be used (status)
     ├─ BackendUnavailableError   a store does not answer, or its disk is full
     ├─ NotReadyError             a store was restored and has to catch up first
     ├─ ConfigurationError        settings, files or versions that do not fit together
     └─ InvalidInputError         an argument that cannot be stored (also a ValueError)
"""

from __future__ import annotations


class SecureMemError(Exception):
    """The root of all errors raised on purpose."""


class IntegrityError(SecureMemError):
    """What is stored is not what was written.

    Attributes:
        session: the session's handle in hex, where one is known.
        seq: the record's sequence number, where one is known.
    """

    def __init__(self, message: str, *, session: bytes | None = None, seq: int | None = None) -> None:
        self.session = session.hex() if session is not None else None
        self.seq = seq
        where = f"session {self.session}: " if self.session else ""
        where += f"record {seq}: " if seq is not None else ""
        super().__init__(where + message)


class WrongKeyError(IntegrityError):
    """The key at hand is not the one that this was sealed under."""


class CorruptRecordError(IntegrityError):
    """Bytes were changed, cut off or added."""


class ReorderedError(IntegrityError):
    """A record was swapped, replayed, left out, or the session was rolled back."""


class PlaintextError(IntegrityError):
    """Something that was never sealed lies where a record should."""


class ExpiredError(SecureMemError):
    """The message that was asked for by its seq is past its time."""


class ConflictError(SecureMemError):
    """Somebody else was there first."""


class UserErasedError(SecureMemError):
    """The person was forgotten while this handle was open."""


class UserRestrictedError(SecureMemError):
    """The person's data must not be processed (GDPR Art. 18)."""


class LegalHoldError(SecureMemError):
    """The erasure is queued behind a legal hold.

    Attributes:
        request: the id of the queued request.
    """

    def __init__(self, message: str, *, request: str | None = None) -> None:
        self.request = request
        super().__init__(message)


class PolicyError(SecureMemError):
    """The policy file is wrong: where, and what was probably meant."""

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.file, self.line, self.column, self.hint = file, line, column, hint
        place = ":".join(str(part) for part in (file, line, column) if part is not None)
        super().__init__((f"{place}: " if place else "") + message + (f", {hint}" if hint else ""))


class PIIBlockedError(SecureMemError):
    """The policy refuses a message with this kind of personal data; the value is not in here."""

    def __init__(self, message: str, *, entity: str, start: int, end: int) -> None:
        self.entity, self.start, self.end = entity, start, end
        super().__init__(message)


class DetectionError(SecureMemError):
    """A detector of personal data failed, so the message was not saved."""


class AccessDeniedError(SecureMemError):
    """The policy gives the actor no right to do this."""


class KMSUnavailableError(SecureMemError):
    """The key-management service does not answer."""


class ModelError(SecureMemError):
    """A model did not answer, or not with what can be used; the conversation is as it was.

    Attributes:
        status: the HTTP status of its endpoint, where that is what was wrong.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


class BackendUnavailableError(SecureMemError):
    """A store does not answer, is busy for too long, or its disk is full or broken."""


class NotReadyError(SecureMemError):
    """A store was restored or replaced, and what was decided since has to be applied to it first."""


class ConfigurationError(SecureMemError):
    """Settings, files or versions that do not fit together."""


class InvalidInputError(SecureMemError, ValueError):
    """An argument that cannot be stored or asked for; nothing was written."""
