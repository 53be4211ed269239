"""Copy a checkpoint without the places of the machine that trained it.

    python tools/ship_checkpoint.py checkpoints/piano/best.safetensors checkpoints/piano.safetensors

The folders that it and the checkpoints before it learned from are nobody else's. Names of recordings stay: they tell
what was held out.
"""

import argparse
from pathlib import Path

from pipeline import checkpoint


def main() -> None:
    """Load, forget, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="a checkpoint to render from")
    parser.add_argument("target", type=Path, help="where the copy goes")
    args = parser.parse_args()
    run = checkpoint.load(args.source)
    for split in (run.split, *(ancestor["split"] for ancestor in run.ancestors)):
        split["places"] = []
        split["music"]["folder"] = None
    checkpoint.save(run, args.target)


if __name__ == "__main__":
    main()
