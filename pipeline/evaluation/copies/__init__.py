"""What is borrowed from the recordings learned from: fingerprints, candidates, and passages that are verified."""
