"""`quarterwave compare`: several checkpoints side by side."""

import argparse

from pipeline.commands import evaluate
from pipeline.errors import EvaluationError

HELP = "hold checkpoints side by side: settings, cost, skill, sound"
DESCRIPTION = """\
Compare checkpoints: in which settings they differ, what training cost, how well they predict, how their clips sound.

  quarterwave train recordings/ --layers 1 --out checkpoints/one
  quarterwave train recordings/ --layers 3 --out checkpoints/three
  quarterwave compare checkpoints/one checkpoints/three

All begin from the same held-out prompts and are measured as `quarterwave evaluate` does, in one report.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `compare`."""
    parser.add_argument("what", nargs="+", metavar="[NAME=]CHECKPOINT", help="checkpoints, or runs' folders")
    evaluate.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Evaluate checkpoints, two or more."""
    from pipeline.evaluate.entrants.reading import read_what

    what = read_what(args.what)
    if no_checkpoint := next((each for each in what if not each.is_checkpoint), None):
        raise EvaluationError(f"{no_checkpoint.path}: checkpoints are compared, and this is none; evaluate takes clips")
    if len(what) < 2:
        raise EvaluationError(f"two checkpoints or more are compared, and not {len(what)}")
    evaluate.evaluate_all(args, what)
    return 0
