"""The ledger, in a file and in PostgreSQL."""
