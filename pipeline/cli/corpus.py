"""`quarterwave corpus`: make a corpus of sampled piano."""

import argparse
from pathlib import Path

HELP = "make a corpus of sampled piano"
DESCRIPTION = """\
Make a folder of WAVs to learn from: a sampled Steinway, played by rule from scores in the public domain. The notes
of each recording lie beside it, as a MIDI file of the same name.

  quarterwave corpus demo/                     the base repertoire, about a minute a piece
  quarterwave corpus demo/ --pieces 100        more: chorales, then other keys and tempi
  quarterwave corpus mine/ --midi my_midis/    your own MIDI files instead

PROVENANCE.md in the folder states the sources of the recordings and their licences.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `corpus`."""
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to make")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--midi", type=Path, metavar="FOLDER", help="play these MIDI files instead of the scores")
    source.add_argument("--pieces", type=int, metavar="N", help="how many pieces (default: the base repertoire)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the performances (default: 0)")
    parser.add_argument("--force", action="store_true", help="overwrite recordings of the same names")


def run(args: argparse.Namespace) -> int:
    """Make it, and say what was written, where, and what it cost."""
    import time

    from rich.progress import track

    from pipeline.cli.console import console, duration
    from waveforms.audio import probe
    from waveforms.piano import PROVENANCE, make_corpus, render_midi

    def progress(items, words):  # type: ignore[no-untyped-def]
        return track(items, words, console=console)

    since = time.perf_counter()
    if args.midi:
        paths, problems = render_midi(args.midi, args.out, force=args.force, progress=progress)
        for problem in problems:
            console.print(f"left out: {problem}", markup=False)
    else:
        paths = make_corpus(args.out, seed=args.seed, n_pieces=args.pieces, force=args.force, progress=progress)
    took = time.perf_counter() - since
    seconds = sum(probe(path).seconds for path in paths)
    console.print(
        f"wrote {len(paths)} recordings, {duration(seconds)}, and {PROVENANCE} to {args.out}/ in {duration(took)}"
    )
    console.print(f"next: quarterwave train {args.out}")
    return 0
