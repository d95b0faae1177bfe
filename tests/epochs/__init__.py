"""KEK epochs: rotation, closing, backups, and whoever dies in between."""
