"""Agents, what they remember in, and the models that they ask."""
