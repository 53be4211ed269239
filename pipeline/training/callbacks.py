"""Hooks that training calls, named as in Lightning: for progress bars, logs, and whatever else watches a run."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.training.begin import Run


class Callback:
    """Base class: every hook does nothing. Of several processes the first one alone calls hooks."""

    def on_setup_progress(self, stage: str, done: float, total: float) -> None:
        """A stage of the preparation, such as "reading notes", has done so much of its total."""

    def on_message(self, message: str) -> None:
        """There is something that the user should know, such as a file that is left out."""

    def on_train_start(self, run: "Run") -> None:
        """The loop starts, at `run.progress.step`."""

    def on_step_end(self, run: "Run", loss: float) -> None:
        """An optimiser step is done."""

    def on_validation_end(self, run: "Run", metrics: dict[str, float]) -> None:
        """A validation is done, and the run is saved; `run.progress.n_worse` is 0 where its loss is the lowest."""

    def on_train_end(self, run: "Run") -> None:
        """The loop has ended, also where an exception ended it."""


class CallbackList(Callback):
    """Several callbacks as one, called in their order."""

    def __init__(self, callbacks: Iterable[Callback]) -> None:
        self._callbacks = tuple(callbacks)

    def on_setup_progress(self, stage: str, done: float, total: float) -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_setup_progress(stage, done, total)

    def on_message(self, message: str) -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_message(message)

    def on_train_start(self, run: "Run") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_train_start(run)

    def on_step_end(self, run: "Run", loss: float) -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_step_end(run, loss)

    def on_validation_end(self, run: "Run", metrics: dict[str, float]) -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_validation_end(run, metrics)

    def on_train_end(self, run: "Run") -> None:
        """See `Callback`."""
        for callback in self._callbacks:
            callback.on_train_end(run)
