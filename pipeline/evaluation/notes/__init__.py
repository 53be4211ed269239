"""What is played: transcribers, the notes' statistics, and how far these are from a reference's."""
