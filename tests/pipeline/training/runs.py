"""Runs for tests: begun, trained, stopped, resumed."""

import os
import signal
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from pipeline.checkpoint import Checkpoint
from pipeline.config import Settings
from pipeline.training.begin import Run, begin
from pipeline.training.callbacks import Callback
from pipeline.training.loop import Outcome, train
from pipeline.training.pieces import fitted_to, held_out_rows, pieces_of
from pipeline.training.request import TrainRequest
from pipeline.training.validation import validate
from waveforms.corpus import Corpus


class Recorder(Callback):
    """Keeps what training reports; may press Ctrl-C after a step."""

    def __init__(self, stop_after: int = -1) -> None:
        self.stop_after = stop_after
        self.metrics: list[dict[str, float]] = []
        self.messages: list[str] = []
        self.preparation: dict[str, tuple[float, float]] = {}

    def on_setup_progress(self, stage: str, done: float, total: float) -> None:
        self.preparation[stage] = (done, total)

    def on_message(self, message: str) -> None:
        self.messages.append(message)

    def on_step_end(self, run: Run, loss: float) -> None:
        if run.progress.step == self.stop_after:
            os.kill(os.getpid(), signal.SIGINT)

    def on_validation_end(self, run: Run, metrics: dict[str, float]) -> None:
        self.metrics.append(metrics)


def begun(corpus: Corpus, settings: Settings, out: Path, **others: Any) -> Run:
    """A new run that no step has changed."""
    return begin(TrainRequest(corpus.places, out, settings, **others), corpus=corpus)


def trained(
    corpus: Corpus,
    settings: Settings,
    out: Path,
    *callbacks: Callback,
    **others: Any,
) -> Outcome:
    """A new run, trained."""
    return train(TrainRequest(corpus.places, out, settings, **others), callbacks, corpus=corpus)


def resumed(corpus: Corpus, out: Path, *callbacks: Callback) -> Outcome:
    """The run in a folder, trained on."""
    return train(TrainRequest(corpus.places, out, resume=True), callbacks, corpus=corpus)


def validated(done: Checkpoint, corpus: Corpus) -> dict[str, float]:
    """As training validates, on all of a corpus."""
    rows = held_out_rows(
        fitted_to(pieces_of(corpus, done.codec), done.codec), done.settings.training.sequence_blocks, 1000
    )
    return validate(done.model, done.codec, rows, Fabric(accelerator="cpu"))
