"""Places outside where checkpoints of the audit are put down: one file each, chosen by `adapters.make_sink`."""
