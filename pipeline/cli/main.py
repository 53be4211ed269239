"""The command line: `quarterwave COMMAND`, the same as `python -m pipeline COMMAND`.

Commands live in `pipeline.cli`, one file each. This is the only place that prints an error and exits: a fault
the user can mend is one sentence and exit status 1, a wrong flag is argparse's 2, Ctrl-C is 130.
"""

import argparse
import os
import sys
from collections.abc import Sequence

from pipeline import __version__
from pipeline.cli.commands import COMMANDS
from waveforms.errors import QuarterwaveError

DESCRIPTION = """\
Learn from a folder of piano recordings and render new raw audio from it, block by block.

  quarterwave corpus demo/         make a corpus of sampled piano to begin with
  quarterwave inspect demo/        see what is in it
  quarterwave notes demo/          write down what it plays, as MIDI files
  quarterwave train demo/          learn from it
  quarterwave generate             render clips
  quarterwave evaluate clips/      measure them against real music
  quarterwave compare demo/ --layers 1,2    train with several settings, and hold them side by side
  quarterwave listen               make a blind listening test of them, and score it
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="quarterwave", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"quarterwave {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(subparser)
        subparser.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status."""
    args = make_parser().parse_args(arguments)
    try:
        status: int = args.run(args)
        return status
    except QuarterwaveError as error:
        print(f"quarterwave: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nquarterwave: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `quarterwave inspect ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
