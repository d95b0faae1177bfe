"""The byte formats under attack, their frozen vectors, and other people's vectors for the primitives below them."""
