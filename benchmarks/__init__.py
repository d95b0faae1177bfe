"""What SecureMem costs beside the drivers it stands on: `python -m benchmarks core` from the project's root."""
