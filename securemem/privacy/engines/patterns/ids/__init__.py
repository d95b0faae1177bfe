"""National numbers, by their check digits; one file for each part of the world.

Where a check digit is weak, or a number has no form of its own, a word before it has to say what it is.
"""
