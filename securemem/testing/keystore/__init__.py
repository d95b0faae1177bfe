"""The contract of `keys.keystore.Keystore`."""

from securemem.testing.keystore.contract import KeystoreContract

__all__ = ["KeystoreContract"]
