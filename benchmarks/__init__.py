"""Speed and memory of the main line: against peers, and as shares of what this machine can do, measured in one run."""
