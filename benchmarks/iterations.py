"""The ancestor's headline, 2000 iterations over 20 songs of a minute, from a slice of a real training run."""

import statistics
import time
from pathlib import Path

from benchmarks.figures import Figure, Target
from benchmarks.limits import precisions
from benchmarks.training import CLASSIC, SAME
from pipeline.config import Settings
from pipeline.training.begin import begin
from pipeline.training.loop import train
from pipeline.training.progress import Progress, Unwatched
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE

N_ITERATIONS, N_SONGS, SONG_SECONDS = 2000, 20, 60  # an iteration is once through all songs
N_TARGETS = N_SONGS * (SONG_SECONDS * SAMPLE_RATE // BLOCK_SIZE - 1)
N_WARM = 8  # steps that do not count: until then memory is still being taken
MOST_MINUTES = 45

FASTEST = precisions()[-1]

SETTINGS = {
    f"same network, batch 64, {FASTEST}": SAME.with_values({"batch_size": 64, "precision": FASTEST}),
    "same network, an iteration in a batch": SAME.with_values({"batch_size": 120, "precision": FASTEST}),
    "classic as it is": CLASSIC,
}


class Stopwatch(Unwatched):
    """Watches a run and notes when each step was done and how many blocks it saw."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, int]] = []

    def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
        """See `Watcher`."""
        self.steps.append((time.perf_counter(), n_blocks))

    def rate(self) -> float:
        """Blocks in a second, after the first steps: reading, transforming and learning."""
        since, _ = self.steps[N_WARM - 1]
        until, _ = self.steps[-1]
        return sum(n for _, n in self.steps[N_WARM:]) / (until - since)


def measure(corpus: Corpus, folder: Path, n_steps: int, n_rounds: int) -> list[Figure]:
    """Minutes that the headline would take, of each network."""
    rounds = [
        {name: _rate(corpus, settings, folder / "run", n_steps) for name, settings in SETTINGS.items()}
        for _ in range(n_rounds)
    ]
    return [_figure(name, statistics.median(rates[name] for rates in rounds)) for name in SETTINGS]


def _rate(corpus: Corpus, settings: Settings, out: Path, n_steps: int) -> float:
    slice_of_it = settings.with_values({"steps": n_steps, "validate_every": n_steps, "validation_sequences": 1})
    watch = Stopwatch()
    train(begin(corpus, slice_of_it, None, watch), corpus, out, watch)
    return watch.rate()


def _figure(name: str, rate: float) -> Figure:
    minutes = N_ITERATIONS * N_TARGETS / rate / 60
    target = Target("value", MOST_MINUTES) if name.endswith("in a batch") else None
    return Figure("2000 iterations", name, minutes, "min", less_is_better=True, target=target)
