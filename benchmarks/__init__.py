"""Speed and memory of the main line, as shares of what this machine can do, measured in one run."""
