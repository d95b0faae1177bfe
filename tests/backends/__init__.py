"""One file a backend: its contract, and what it alone can get wrong."""
