"""Minutes for 2000 iterations over 20 songs of a minute, the run that GRUV is known for, from its first steps."""

import statistics
import time
from pathlib import Path

from benchmarks.figures import Figure, Target
from benchmarks.machine import precisions
from benchmarks.training import CLASSIC, SAME
from pipeline.config import Settings
from pipeline.training.begin import Run
from pipeline.training.callbacks import Callback
from pipeline.training.loop import train
from pipeline.training.request import TrainRequest
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE

N_ITERATIONS, N_SONGS, SONG_SECONDS = 2000, 20, 60  # an iteration is once through all songs
N_TARGETS = N_SONGS * (SONG_SECONDS * SAMPLE_RATE // BLOCK_SIZE - 1)
N_WARM = 8  # steps that do not count: the process still grows in them
MOST_MINUTES = 45

FASTEST = precisions()[-1]

SETTINGS = {
    f"same network, batch 64, {FASTEST}": SAME.with_values({"batch_size": 64, "precision": FASTEST}),
    "same network, an iteration in a batch": SAME.with_values({"batch_size": 120, "precision": FASTEST}),
    "classic as it is": CLASSIC,
}


class Stopwatch(Callback):
    """Keeps when each step ended and how many blocks it had."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []

    def on_step_end(self, run: Run, loss: float) -> None:
        """See `Callback`."""
        self.steps.append((time.perf_counter(), run.n_blocks_of_step))

    def rate(self) -> float:
        """Return the blocks read, encoded and trained on in a second, after the first steps."""
        since, _ = self.steps[N_WARM - 1]
        until, _ = self.steps[-1]
        return sum(n for _, n in self.steps[N_WARM:]) / (until - since)


def measure(corpus: Corpus, folder: Path, n_steps: int, n_rounds: int) -> list[Figure]:
    """Measure each network, and return the minutes that 2000 iterations would take."""
    rounds = [
        {name: _rate(corpus, settings, folder / "run", n_steps) for name, settings in SETTINGS.items()}
        for _ in range(n_rounds)
    ]
    return [_figure(name, statistics.median(rates[name] for rates in rounds)) for name in SETTINGS]


def _rate(corpus: Corpus, settings: Settings, out: Path, n_steps: int) -> float:
    shortened = settings.with_values({"steps": n_steps, "validate_every": n_steps, "validation_sequences": 1})
    watch = Stopwatch()
    train(TrainRequest(corpus.places, out, shortened, force=True), [watch], corpus=corpus)
    return watch.rate()


def _figure(name: str, rate: float) -> Figure:
    minutes = N_ITERATIONS * N_TARGETS / rate / 60
    target = Target("value", MOST_MINUTES) if name.endswith("in a batch") else None
    return Figure("2000 iterations", name, minutes, "min", less_is_better=True, target=target)
