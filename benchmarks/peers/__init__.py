"""Other ways to the same, written here from their descriptions."""
