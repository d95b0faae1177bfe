"""`securemem demo`: the whole story on a store of its own; every line it prints is a fact that it has just checked."""

from securemem.cli.demo.run import add_to

__all__ = ["add_to"]
