"""The engine of patterns, and what every engine keeps."""
