"""What goes when its time has come."""
