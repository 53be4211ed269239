"""`quarterwave corpus`: make a corpus of sampled piano."""

import argparse

HELP = "make a corpus of sampled piano"
DESCRIPTION = "x"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `corpus`."""


def run(args: argparse.Namespace) -> int:
    """Make it."""
    return 0
