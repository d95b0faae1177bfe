"""Personal data: finding it, treating it, giving it back."""
