"""Training as `train` and `compare` show it: a progress bar, a line for each validation, and how the run ended."""

import time

from rich.progress import Progress as Bar

from pipeline.cli.console import console, duration, progress_bar
from pipeline.config import BEST, LAST
from pipeline.training.begin import Run
from pipeline.training.callbacks import Callback
from pipeline.training.loop import Outcome, train
from pipeline.training.request import TrainRequest
from pipeline.training.tensorboard import TensorBoardWriter
from waveforms.corpus import Corpus

SMOOTHING = 0.9  # of the shown blocks per second


class ProgressBar(Callback):
    """Shows a run on the console."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("reading recordings", total=None, note="")
        self._rate = 0.0
        self._since = 0.0
        self._skill = ""

    def on_setup_progress(self, stage: str, done: float, total: float) -> None:
        """See `Callback`."""
        self._bar.update(self._task, description=stage, completed=done, total=total)

    def on_message(self, message: str) -> None:
        """See `Callback`."""
        self._bar.console.print(message, markup=False)

    def on_train_start(self, run: Run) -> None:
        """See `Callback`."""
        n_weights = sum(weight.numel() for weight in run.checkpoint.model.parameters())
        self._bar.console.print(
            f"{len(run.corpus)} recordings, {duration(run.corpus.seconds)}: {len(run.training)} to learn from, "
            f"{len(run.validation)} held out; preset {run.settings.preset}, {n_weights / 1e6:.1f} million weights"
        )
        steps = run.settings.training.steps
        self._bar.reset(self._task, description="training", completed=run.progress.step, total=steps, note="")
        self._since = time.perf_counter()

    def on_step_end(self, run: Run, loss: float) -> None:
        """See `Callback`."""
        now = time.perf_counter()
        rate = run.n_blocks_of_step / (now - self._since)
        self._since = now
        self._rate = SMOOTHING * self._rate + (1 - SMOOTHING) * rate if self._rate else rate
        note = f"loss {loss:.4f}  {self._rate:.0f} blocks/s{self._skill}"
        self._bar.update(self._task, completed=run.progress.step, note=note)

    def on_validation_end(self, run: Run, metrics: dict[str, float]) -> None:
        """See `Callback`."""
        self._skill = f"  skill {metrics['skill_mean']:.2f} %"
        self._bar.console.print(
            f"step {run.progress.step:>6}  loss {metrics['loss']:.4f}  "
            f"skill {metrics['skill_mean']:6.2f} % against the mean, "
            f"{metrics['skill_repeat']:6.2f} % against repeating{'' if run.progress.n_worse else '  best'}"
        )
        self._since = time.perf_counter()


def train_with_progress(request: TrainRequest, corpus: Corpus | None = None) -> Outcome:
    """Train, show how it goes, and write it for TensorBoard to the run's folder.

    Raises:
        QuarterwaveError: see `pipeline.training.loop.train`.
    """
    with progress_bar() as bar:
        board = TensorBoardWriter(request.folder / "tensorboard")
        outcome = train(request, [ProgressBar(bar), board], corpus=corpus)
    _print_end(outcome)
    return outcome


def _print_end(outcome: Outcome) -> None:
    run = outcome.run
    if outcome.reason == "stopped":
        console.print(f"stopped and saved: {run.folder / LAST}")
    else:
        if outcome.reason == "early":
            console.print(f"ended early: {run.settings.training.patience} validations without a better loss")
        best = min(run.checkpoint.history, key=lambda row: row["loss"])
        console.print(
            f"best at step {best['step']:.0f}: skill {best['skill_mean']:.2f} % against the mean, "
            f"{best['skill_repeat']:.2f} % against repeating"
        )
        console.print(f"wrote {run.folder / BEST} (to render from) and {run.folder / LAST} (to go on from)")
    console.print(f"took {duration(run.progress.seconds)}, {run.progress.step} steps")
