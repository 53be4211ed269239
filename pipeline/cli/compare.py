"""`quarterwave compare`: several settings side by side, trained now, or as checkpoints."""

import argparse
from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pipeline.cli import evaluate
from pipeline.cli.flags import add_held_out_flag
from pipeline.cli.grid import add_grid_flags, flag_of, given_grid, settings_of
from pipeline.config import BEST, LAST, SECTIONS, Settings
from pipeline.errors import EvaluationError, OutputError, SettingsError
from waveforms.errors import QuarterwaveError

if TYPE_CHECKING:
    from pipeline.training.request import TrainRequest
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
    grid = settings_of(given_grid(args))
    if len(grid) < 2:
        raise SettingsError(
            f"{', '.join(args.what)}: no checkpoint is there, so runs are trained, and two or more are compared: "
            "give a setting several values, such as --layers 1,2"
        )

    from pipeline.cli.console import console, open_corpus
    from pipeline.distributed import connect_to_render
    from pipeline.evaluation.run import load_analyser
    from pipeline.training.request import TrainRequest

    if connect_to_render().world_size > 1:
        raise SettingsError("compare trains in one process; train each run with torchrun, and compare checkpoints")
    evaluate.check_no_report(args)
    load_analyser(evaluate.request_of(args, []))
    corpus = open_corpus(*args.what)
    requests = {
        name: TrainRequest(args.what, args.out / "runs" / name, settings, held_out=args.held_out)
        for name, settings in grid.items()
    }
    if not _train_all(requests, corpus, force=args.force):
        console.print("go on with: the same command again")
        return 130
    systems = [f"{name}={request.folder / BEST}" for name, request in requests.items()]
    evaluate.evaluate_and_write(args, evaluate.request_of(args, systems, corpus))
    return 0


def _train_all(requests: dict[str, "TrainRequest"], corpus: "Corpus", *, force: bool) -> bool:
    """Train what is not over; False if the user stopped it."""
    from pipeline.cli.console import console
    from pipeline.cli.training import train_with_progress

    split = _common_split(requests.values(), corpus)
    states = [_state(request, split, force=force) for request in requests.values()]
    for n, ((name, request), state) in enumerate(zip(requests.items(), states, strict=True), start=1):
        console.print(f"run {n} of {len(requests)}, {name}: {state}", markup=False)
        if state == STOPPED:
            request = replace(request, preset=None, held_out=None, resume=True)
        if state != OVER and train_with_progress(replace(request, force=force), corpus).reason == "stopped":
            return False
    return True


def _state(request: "TrainRequest", split: dict[str, Any], *, force: bool) -> str:
    """NEW, STOPPED or OVER."""
    if not (request.folder / LAST).exists():
        return NEW
    try:
        return OVER if _is_over(request, split) else STOPPED
    except QuarterwaveError:
        if force:
            return NEW
        raise


def _is_over(request: "TrainRequest", split: dict[str, Any]) -> bool:
    """Whether the run in the request's folder has ended.

    Raises:
        CheckpointError: its last checkpoint cannot be read.
        OutputError: it has other settings than the request, or another split.
        SettingsError: its settings are not legal.
    """
    from pipeline.checkpoint import read_document
    from pipeline.training.begin import Progress

    document = read_document(request.folder / LAST)
    settings = request.settings()
    other = _difference(Settings.from_json(document["settings"]), settings)
    if not other and any(document["split"][part] != split[part] for part in ("places", "training", "validation")):
        other = "another split, or other recordings"
    if other:
        raise OutputError(f"{request.folder}: holds a run already, with {other}; --force starts it afresh")
    return Progress(**document["progress"]).is_over(settings.training)


def _difference(found: Settings, wanted: Settings) -> str:
    """`layers 1 and not 2, steps 9 and not 12`; empty where there is none."""
    if found.preset != wanted.preset:
        return f"preset {found.preset} and not {wanted.preset}"
    differences = []
    for section in SECTIONS:
        values = asdict(getattr(found, section))
        differences += [
            f"{name} {values[name]} and not {value}"
            for name, value in asdict(getattr(wanted, section)).items()
            if values[name] != value
        ]
    return ", ".join(differences)


def _common_split(requests: Iterable["TrainRequest"], corpus: "Corpus") -> dict[str, Any]:
    """The split of all runs, so that their prompts are the same."""
    from pipeline.training.lineage import named_split

    first, *others = [
        named_split(*corpus.split(request.held_out, fraction=request.settings().training.held_out_share))
        for request in requests
    ]
    if any(split != first for split in others):
        raise SettingsError("runs that are compared must hold out the same recordings: give --held-out-share one value")
    return first
