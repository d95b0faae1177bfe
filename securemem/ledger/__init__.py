"""The ledger: what was decided about people's data, kept apart from the data and from the keys, by handles only."""
