"""`quarterwave train`: learn from a folder of recordings."""

import argparse
from pathlib import Path

from pipeline.cli.flags import add_held_out_flag, add_settings_flags, given_settings
from pipeline.config import BEST

HELP = "learn from a folder of recordings"
DESCRIPTION = """\
Learn to predict each block of sound from those before it.

  quarterwave train recordings/                          with the default settings
  quarterwave train recordings/ --held-out 'take3*.wav'  choose what is held out
  quarterwave train recordings/ --from piano.safetensors --learning-rate 3e-4    go on from another checkpoint
  quarterwave train recordings/ --resume                 go on after Ctrl-C or a crash
  quarterwave train recordings/ --music midi/            learn music from MIDI files, too
  quarterwave train old/ new/ list.jsonl                 several folders, or lists of recordings
  torchrun --nproc-per-node 2 -m pipeline train recordings/      on two processors or GPUs, or more machines

A tenth of the recordings is held out, as whole works: validation and prompts come from them. Every validation prints
the skill against two baselines that learn nothing: always the mean, and repeating what was before. At 0 % the model is
no better than the baseline.
Watch curves, clips and pictures with: tensorboard --logdir checkpoints
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `train`."""
    parser.add_argument(
        "places",
        nargs="+",
        metavar="FOLDER",
        help="recordings: WAV, FLAC, OGG, MP3, AIFF, ...; searched whole. Or a list of recordings, NAME.jsonl, one a "
        'line: {"path": ..., "split": "training" or "validation", "group": ..., "sha256": ..., "seconds": ...}, all '
        "but the path optional. Or a URL of either, such as s3://bucket/takes",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: checkpoints/FOLDER-PRESET)")
    add_held_out_flag(parser)
    parser.add_argument(
        "--from",
        type=Path,
        dest="start",
        metavar="FILE",
        help="begin with what a checkpoint has learned, such as checkpoints/piano.safetensors, not from nothing",
    )
    parser.add_argument(
        "--music",
        type=Path,
        metavar="FOLDER",
        help="MIDI files to learn from as well: more music than there are recordings makes better music",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR where it stopped")
    parser.add_argument("--force", action="store_true", help="start afresh even if DIR holds a run")
    add_settings_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Train, and say where the checkpoints are and what it cost."""
    from pipeline.cli.console import console
    from pipeline.cli.training import train_with_progress
    from pipeline.distributed import connect_to_train
    from pipeline.training.request import TrainRequest

    request = TrainRequest(
        places=args.places,
        out=args.out,
        preset=args.preset,
        values=given_settings(args),
        held_out=args.held_out,
        start=args.start,
        music=args.music,
        resume=args.resume,
        force=args.force,
    )
    request.check_folder()  # before a progress bar appears
    settings = request.settings().training
    console.quiet = not connect_to_train(settings.precision, settings.batch_size).is_global_zero
    outcome = train_with_progress(request)
    if outcome.reason == "stopped":
        console.print(f"go on with: quarterwave train {' '.join(args.places)} --out {request.folder} --resume")
    else:
        console.print(f"next: quarterwave generate --checkpoint {request.folder / BEST}")
    return 130 if outcome.reason == "stopped" else 0
