"""Other implementations of the same, written here from their descriptions."""
