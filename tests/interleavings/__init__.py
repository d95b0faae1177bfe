"""Erasure among all that can be done at the same moment, step by step in an order that a seed gives."""
