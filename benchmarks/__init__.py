"""Speed and memory, compared with peers and with what this machine can do, measured in one run."""
