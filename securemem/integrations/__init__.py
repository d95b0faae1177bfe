"""The memory of other frameworks, kept here: one file for each."""
