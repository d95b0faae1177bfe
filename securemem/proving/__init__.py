"""Proves an erasure where a store really lies: plants people who are not real, erases them, and searches."""
