"""Networks that others have published, built in PyTorch with their weights: embeddings of clips, and transcribers."""
