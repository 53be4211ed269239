"""`quarterwave compare`: several settings side by side, trained now, or as checkpoints."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import evaluate
from pipeline.cli.flags import add_held_out_flag
from pipeline.cli.grid import Run, add_grid_flags, flag_of, given_grid, runs_of
from pipeline.config import BEST, LAST
from pipeline.errors import EvaluationError, SettingsError
from waveforms.errors import QuarterwaveError

if TYPE_CHECKING:
    from waveforms.corpus import Corpus

HELP = "train with several settings, or take checkpoints, and hold them side by side"
DESCRIPTION = """\
Compare settings, or checkpoints: in what they differ, what training cost, how well they predict, how their clips sound.

  quarterwave compare recordings/ --layers 1,2,3 --width 384,768     trains six runs, and reports on them
  quarterwave compare recordings/ --preset flow,codes,classic --steps 300
  quarterwave compare checkpoints/one checkpoints/three              reports on what is trained already

Settings take one value, or several separated by commas; every choice of them is a run, in OUT/runs. The same command
again goes on where it was stopped: runs that are over are kept. --force overwrites a report, and runs in OUT that have
other settings. All begin from the same held-out prompts and are measured as `quarterwave evaluate` does, in one report.
"""
NEW, STOPPED, OVER = "begins", "goes on where it stopped", "is trained already"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `compare`."""
    parser.add_argument(
        "what",
        nargs="+",
        metavar="FOLDER|[NAME=]CHECKPOINT",
        help="recordings to train on: folders, lists or URLs, as `train` takes them. Or checkpoints, or runs' folders",
    )
    evaluate.add_flags(parser)
    add_held_out_flag(parser)
    add_grid_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Compare checkpoints, or train those to compare."""
    from pipeline.evaluation.request import leads_to_checkpoint

    if any(leads_to_checkpoint(text) for text in args.what):
        return _compare_checkpoints(args)
    return _compare_settings(args)


def _compare_checkpoints(args: argparse.Namespace) -> int:
    request = evaluate.request_of(args, args.what)
    if no_checkpoint := next((each for each in request.paths if not each.is_checkpoint), None):
        raise EvaluationError(
            f"{no_checkpoint.path}: no checkpoint, and others are; name checkpoints alone, or only recordings"
        )
    given = [flag_of(name) for name in given_grid(args)] + ["--held-out"] * bool(args.held_out)
    if given:
        raise SettingsError(f"checkpoints are compared as they were trained: leave out {', '.join(given)}")
    if len(request.paths) < 2:
        raise EvaluationError(f"two checkpoints or more are compared, and not {len(request.paths)}")
    evaluate.evaluate_and_write(args, request)
    return 0


def _compare_settings(args: argparse.Namespace) -> int:
    runs = runs_of(given_grid(args))
    if len(runs) < 2:
        raise SettingsError(
            f"{', '.join(args.what)}: no checkpoint is there, so runs are trained, and two or more are compared: "
            "give a setting several values, such as --layers 1,2"
        )

    from pipeline.cli.console import console, open_corpus
    from pipeline.distributed import connect_to_render
    from pipeline.evaluation.run import ears_for

    if connect_to_render().world_size > 1:
        raise SettingsError("compare trains in one process; train each run with torchrun, and compare checkpoints")
    evaluate.check_no_report(args)
    ears_for(evaluate.request_of(args, []))
    corpus = open_corpus(*args.what)
    folders = [args.out / "runs" / run.name for run in runs]
    if not _train_all(runs, folders, corpus, args):
        console.print("go on with: the same command again")
        return 130
    systems = [f"{run.name}={folder / BEST}" for run, folder in zip(runs, folders, strict=True)]
    evaluate.evaluate_and_write(args, evaluate.request_of(args, systems, corpus))
    return 0


def _train_all(runs: list[Run], folders: list[Path], corpus: "Corpus", args: argparse.Namespace) -> bool:
    """Train what is not over; False if the user stopped it."""
    from pipeline import checkpoint
    from pipeline.cli.console import console
    from pipeline.cli.training import Fresh, tell_cost, train_into

    split = _common_split(runs, corpus, args.held_out)
    states = [_state(*each, split, force=args.force) for each in zip(runs, folders, strict=True)]
    for n, (run, folder, state) in enumerate(zip(runs, folders, states, strict=True), start=1):
        console.print(f"run {n} of {len(runs)}, {run.name}: {state}", markup=False)
        if state == OVER:
            continue
        start = checkpoint.load(folder / LAST) if state == STOPPED else Fresh(run.settings, args.held_out)
        outcome = train_into(folder, corpus, start)
        tell_cost(outcome)
        if outcome.reason == "stopped":
            return False
    return True


def _state(run: Run, folder: Path, split: dict[str, Any], *, force: bool) -> str:
    """NEW, STOPPED or OVER."""
    from pipeline.cli.training import is_over

    if not (folder / LAST).exists():
        return NEW
    try:
        return OVER if is_over(folder, run.settings, split) else STOPPED
    except QuarterwaveError:
        if force:
            return NEW
        raise


def _common_split(runs: list[Run], corpus: "Corpus", held_out: list[str] | None) -> dict[str, Any]:
    """The split of all runs, so that their prompts are the same."""
    from pipeline.training.lineage import named_split

    shares = [run.settings.training.held_out_share for run in runs]
    first, *others = [named_split(*corpus.split(held_out, fraction=share)) for share in shares]
    if any(split != first for split in others):
        raise SettingsError("runs that are compared must hold out the same recordings: give --held-out-share one value")
    return first
