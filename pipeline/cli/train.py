"""`quarterwave train`: learn from a folder of recordings."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.flags import add_held_out_flag, add_settings_flags, given_settings, settings_of
from pipeline.config import BEST, LAST
from pipeline.errors import CheckpointError, OutputError, SettingsError

if TYPE_CHECKING:
    from pipeline.checkpoint import Checkpoint
    from pipeline.config import Settings

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
the skill against two baselines that learn nothing: always the mean, and repeat what was before. 0 % is no better than
they.
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
        dest="learned",
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
    from pipeline import checkpoint

    learned = checkpoint.load(args.learned) if args.learned else None
    settings = _further(learned, args) if learned else settings_of(args)
    out = args.out or Path("checkpoints") / f"{_named_after(args.places)}-{settings.preset}"
    _check(args, out)

    from pipeline.cli.console import console, open_corpus
    from pipeline.cli.training import Fresh, tell_cost, train_into
    from pipeline.distributed import broadcast_from_first, connect_to_train
    from waveforms.files import make_folder

    started = _resumed(checkpoint.load(out / LAST), args, out) if args.resume else None
    fabric = connect_to_train(started.settings.training if started else settings.training)
    console.quiet = not fabric.is_global_zero
    make_folder(out)
    corpus = broadcast_from_first(fabric, lambda: open_corpus(*args.places))
    outcome = train_into(out, corpus, started or Fresh(settings, args.held_out, learned, args.music))
    if outcome.reason == "stopped":
        console.print(f"go on with: quarterwave train {' '.join(args.places)} --out {out} --resume")
    else:
        console.print(f"next: quarterwave generate --checkpoint {out / BEST}")
    tell_cost(outcome)
    return 130 if outcome.reason == "stopped" else 0


def _named_after(places: list[str]) -> str:
    """`takes` for takes/ and for takes.jsonl, `takes+2` where there are two more."""
    name = Path(places[0]).resolve().name.removesuffix(".jsonl")
    return name if len(places) == 1 else f"{name}+{len(places) - 1}"


def _check(args: argparse.Namespace, out: Path) -> None:
    exists = (out / LAST).exists()
    if args.resume and not exists:
        raise CheckpointError(f"{out / LAST}: no such file, so there is no run to go on with; leave out --resume")
    if exists and not (args.resume or args.force):
        raise OutputError(f"{out}: holds a run already; --resume goes on with it, --force starts afresh")
    if args.resume and (args.preset or args.held_out or args.learned or args.music):
        raise SettingsError(
            "--resume goes on with the run's own preset, split, weights and music: leave out --preset, --held-out, "
            "--from and --music"
        )


def _further(learned: "Checkpoint", args: argparse.Namespace) -> "Settings":
    """Let a run that begins with a checkpoint's weights change how it is trained, and not what."""
    given = given_settings(args)
    fixed = sorted(name for name in given if not hasattr(learned.settings.training, name))
    if fixed or args.preset:
        flags = ", ".join("--" + name.replace("_", "-") for name in (["preset"] if args.preset else []) + fixed)
        raise SettingsError(f"--from takes the preset and its sizes from {args.learned}: leave out {flags}")
    return learned.settings.with_values(given)


def _resumed(started: "Checkpoint", args: argparse.Namespace, out: Path) -> "Checkpoint":
    """Let a resumed run change how long it may go on, and nothing else."""
    given = given_settings(args)
    if fixed := sorted(given.keys() - {"steps", "patience"}):
        flags = ", ".join("--" + name.replace("_", "-") for name in fixed)
        raise SettingsError(
            f"--resume goes on with the settings in {out}, but for --steps and --patience: leave out {flags}"
        )
    started.settings = started.settings.with_values(given)
    return started
