"""Workers that are killed, held up and raced: nothing is deleted twice, nothing is left, and no hold is broken."""
