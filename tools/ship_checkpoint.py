"""Copy a checkpoint without the folders of the machine that trained it, and without prompts that we may not pass on.

    python tools/ship_checkpoint.py checkpoints/piano/best.safetensors checkpoints/piano.safetensors --drop '*goldberg*'

It removes the folders that this checkpoint and its ancestors were trained on. Names of recordings stay: they say what
was held out.
"""

import argparse
from fnmatch import fnmatch
from pathlib import Path

from pipeline import checkpoint


def main() -> None:
    """Load, remove, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a checkpoint to render from")
    parser.add_argument("target", type=Path, help="the path of the copy")
    parser.add_argument(
        "--drop", action="append", default=[], metavar="PATTERN", help="leave out prompts from recordings of this name"
    )
    args = parser.parse_args()
    run = checkpoint.load(args.source)
    for split in (run.split, *(ancestor["split"] for ancestor in run.ancestors)):
        split["places"] = []
        split["music"]["folder"] = None
    run.excerpts = [e for e in run.excerpts if not any(fnmatch(e.source, pattern) for pattern in args.drop)]
    checkpoint.save(run, args.target)


if __name__ == "__main__":
    main()
