"""One file a KMS: its contract, and what it alone can get wrong."""
