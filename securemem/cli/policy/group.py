"""The group of commands `securemem policy`."""

from securemem.cli.command import group

app = group("Check, test and compare policies, and see what they do.")
