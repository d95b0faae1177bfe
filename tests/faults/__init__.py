"""Servers that are killed, cut off, slow, full, read-only or behind: nothing acknowledged is lost, nothing doubled."""
