"""Somebody with the data store in their hands: whatever they do to it, nothing that they changed is ever returned."""
