"""Where checkpoints of the audit are put down."""
