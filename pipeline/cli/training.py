"""A run and its folder, as `train` and `compare` have them: training it and telling of it, and how it stands."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.checkpoint import Checkpoint, read_document
from pipeline.cli.console import console, duration, progress_bar
from pipeline.cli.watching import Watching
from pipeline.config import BEST, LAST, SECTIONS, Settings
from pipeline.errors import OutputError
from pipeline.training.begin import begin
from pipeline.training.loop import train
from pipeline.training.progress import Outcome, Progress
from waveforms.corpus import Corpus
from waveforms.files import make_folder


@dataclass(frozen=True)
class Fresh:
    """What a run is begun with; see `pipeline.training.begin.begin`."""

    settings: Settings
    held_out: list[str] | None = None
    learned: Checkpoint | None = None
    music: Path | None = None


def train_into(out: Path, corpus: Corpus, start: Checkpoint | Fresh) -> Outcome:
    """Train a run into its folder, with a progress bar, a line for each validation, and how it ended.

    Args:
        out: the run's folder; what a run before has left there goes when a fresh one begins.
        corpus: to learn from.
        start: a run to go on with, from `out`, or what to begin one with.

    Raises:
        OutputError: the folder cannot be made.
        QuarterwaveError: see `pipeline.training.loop`.
    """
    make_folder(out)
    with progress_bar() as bar, Watching(bar, out) as watching:
        run = _begun(start, corpus, out, watching) if isinstance(start, Fresh) else start
        _introduce(run, corpus)
        outcome = train(run, corpus, out, watching)
    _conclude(outcome, out)
    return outcome


def tell_cost(outcome: Outcome) -> None:
    """Say how long a run has taken."""
    console.print(f"took {duration(outcome.progress.seconds)}, {outcome.progress.step} steps")


def is_over(folder: Path, settings: Settings, split: dict[str, Any]) -> bool:
    """Whether the run in a folder has come to its end.

    Args:
        folder: that holds a run.
        settings: that it is to have.
        split: likewise, as `pipeline.training.lineage.named_split` gives it.

    Raises:
        CheckpointError: its last checkpoint cannot be read.
        OutputError: it has other settings, or another split.
        SettingsError: its settings are not legal.
    """
    document = read_document(folder / LAST)
    other = _difference(Settings.from_json(document["settings"]), settings)
    if not other and any(document["split"][part] != split[part] for part in ("places", "training", "validation")):
        other = "another split, or other recordings"
    if other:
        raise OutputError(f"{folder}: holds a run already, with {other}; --force starts it afresh")
    return Progress(**document["progress"]).is_over(settings.training)


def _begun(start: Fresh, corpus: Corpus, out: Path, watching: Watching) -> Checkpoint:
    run = begin(corpus, start.settings, start.held_out, watching, start.learned, start.music)
    for stale in (LAST, BEST):
        (out / stale).unlink(missing_ok=True)
    return run


def _introduce(run: Checkpoint, corpus: Corpus) -> None:
    n_weights = sum(p.numel() for p in run.model.parameters())
    n_training, n_validation = len(run.split["training"]), len(run.split["validation"])
    console.print(
        f"{len(corpus)} recordings, {duration(corpus.seconds)}: {n_training} to learn from, {n_validation} held out; "
        f"preset {run.settings.preset}, {n_weights / 1e6:.1f} million weights"
    )


def _conclude(outcome: Outcome, out: Path) -> None:
    if outcome.reason == "stopped":
        console.print(f"stopped and saved: {out / LAST}")
        return
    if outcome.reason == "early":
        patience = outcome.run.settings.training.patience
        console.print(f"ended early: {patience} validations without a better loss")
    best = min(outcome.run.history, key=lambda row: row["loss"])
    console.print(
        f"best at step {best['step']:.0f}: skill {best['skill_mean']:.2f} % against the mean, "
        f"{best['skill_repeat']:.2f} % against repeating"
    )
    console.print(f"wrote {out / BEST} (to render from) and {out / LAST} (to go on from)")


def _difference(had: Settings, wanted: Settings) -> str:
    """`layers 1 and not 2, steps 9 and not 12`; empty where there is none."""
    if had.preset != wanted.preset:
        return f"preset {had.preset} and not {wanted.preset}"
    told = []
    for section in SECTIONS:
        values = asdict(getattr(wanted, section))
        found = asdict(getattr(had, section))
        told += [f"{name} {found[name]} and not {value}" for name, value in values.items() if found[name] != value]
    return ", ".join(told)
