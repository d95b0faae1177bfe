"""`securemem chat`: talk with an agent at the terminal, in a conversation that a store remembers."""

from securemem.cli.chat.run import add_to

__all__ = ["add_to"]
