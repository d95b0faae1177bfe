"""The contract of `ports.Backend`."""

from securemem.testing.backend.contract import BackendContract

__all__ = ["BackendContract"]
