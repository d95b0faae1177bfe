"""Tests of the proof of an erasure."""
