"""One file or folder per engine that finds personal data."""
