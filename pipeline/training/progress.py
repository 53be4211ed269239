"""Where a run stands, how it ended, and who is told of it."""

import math
from dataclasses import dataclass
from typing import Protocol

from pipeline.checkpoint import Checkpoint
from pipeline.config import TrainingSettings
from pipeline.errors import TrainingError


@dataclass
class Progress:
    """Where a run stands; with the tensors, all that its future depends on."""

    step: int = 0
    best_loss: float | None = None
    n_worse: int = 0
    seconds: float = 0.0

    def is_over(self, settings: TrainingSettings) -> bool:
        """Whether a run that stands here has come to its end: all steps done, or no better for too long."""
        return self.step >= settings.steps or self.n_worse >= settings.patience


class Watcher(Protocol):
    """Who is told how training goes: the command line's progress bar, TensorBoard. Here, nobody is."""

    def listening(self, done: float, total: float) -> None:
        """The notes of so many seconds of recordings are known."""
        return

    def fitting(self, done: int, total: int) -> None:
        """So much of the codec is fitted."""
        return

    def started(self, progress: Progress, n_steps: int) -> None:
        """The loop begins, from a fresh or a resumed state."""
        return

    def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
        """A step is done; it saw so many blocks."""
        return

    def validated(self, row: dict[str, float], run: Checkpoint, is_best: bool) -> None:
        """A validation is done; `row` is its line of the history."""
        return

    def noted(self, sentence: str) -> None:
        """Something about the split that the user should know."""
        return


class Unwatched(Watcher):
    """Watches a process that is not the first."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended: `finished`, `early` (no better for too long) or `stopped` (by the user)."""

    reason: str
    run: Checkpoint
    progress: Progress


def check_finite(value: float, name: str, step: int, settings: TrainingSettings) -> None:
    """Raise TrainingError if a value of a step is no finite number."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the {name} at step {step} is {value}: training has diverged; "
            f"start again with a --learning-rate below {settings.learning_rate:g}"
        )
