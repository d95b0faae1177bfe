"""The engine `patterns`: what has a form of its own, by regular expressions, check digits and the words around it."""

from securemem.privacy.engines.patterns.engine import PatternsEngine, make

__all__ = ["PatternsEngine", "make"]
