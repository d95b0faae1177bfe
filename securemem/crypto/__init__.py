"""The only rooms that import `cryptography`: AEAD, derivation, MACs, signatures, and the formats built on them."""
