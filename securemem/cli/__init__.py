"""The command line: `securemem`. What a command needs of the library it imports when it runs."""

from securemem.cli.app import main

__all__ = ["main"]
