"""One file a keystore: its contract, and what it alone can get wrong."""
