"""`python -m benchmarks`: measure the main line and print a table; `results/main_line.json` keeps the figures.

Every figure is the median of several runs after a warm-up. What is compared is run in turn, A B A B ..., since the
speed of a shared machine drifts.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import memory
from pipeline.generate import roll_out
from pipeline.predictors import make_predictor
from pipeline.representations import make_representation
from pipeline.settings import MAX_SEQ_LEN, Settings, preset_named
from pipeline.windows import sweep
from waveforms import BLOCK_SIZE, SAMPLE_RATE
from waveforms.corpus import Corpus

N_RUNS = 5
MATRIX_SIZE, N_PRODUCTS = 2048, 10
N_RECORDINGS, MINUTES_EACH = 20, 1
RESULTS = Path(__file__).parent / "results"


def median_seconds(*works: Callable[[], object]) -> list[float]:
    """The median time of each, over N_RUNS rounds after one that is not counted."""
    rounds = []
    for _ in range(N_RUNS + 1):
        times = []
        for work in works:
            since = time.perf_counter()
            work()
            times.append(time.perf_counter() - since)
        rounds.append(times)
    return [statistics.median(times) for times in zip(*rounds[1:], strict=True)]


def make_recordings(folder: Path) -> None:
    """Twenty one-minute recordings, as in the ancestor's headline; their sound does not matter here."""
    rng = np.random.default_rng(0)
    for n in range(N_RECORDINGS):
        noise = 0.1 * rng.standard_normal(MINUTES_EACH * 60 * SAMPLE_RATE)
        soundfile.write(folder / f"{n:02d}.wav", noise, SAMPLE_RATE, subtype="PCM_16")


def ingest(corpus: Corpus, settings: Settings) -> dict[str, float]:
    """From files to model vectors, times real time; and decoding alone."""
    representation = make_representation(settings.representation)
    representation.fit(sweep(corpus, representation.margins))

    def read() -> None:
        for _ in sweep(corpus, representation.margins):
            pass

    def read_and_transform() -> None:
        for waveform in sweep(corpus, representation.margins):
            representation.transform(waveform)

    decoding, both = median_seconds(read, read_and_transform)
    return {
        "times_real_time": corpus.seconds / both,
        "blocks_per_second": corpus.n_blocks / both,
        "share_that_is_decoding": decoding / both,
    }


def flops_per_block(settings: Settings, dim: int) -> int:
    """Of a training step: two a weight forward, four backward; the first layer hands no gradient further down."""
    width, layers = settings.predictor.width, settings.predictor.layers
    lstm = layers * 8 * width**2  # four gates read the input and the state
    return 6 * (2 * dim * width + lstm) - 2 * dim * width


def training(settings: Settings) -> dict[str, float]:
    """Optimiser steps on random sequences, and matrix products of the same precision in between."""
    representation = make_representation(settings.representation)
    predictor = make_predictor(settings.predictor, representation.dim)
    optimiser = torch.optim.AdamW(predictor.parameters())
    batch, length = settings.training.batch_size, settings.training.sequence_blocks
    sequence = torch.randn(batch, length + 1, representation.dim)
    n_targets = torch.full((batch,), length)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=settings.training.precision == "bfloat16"):
            loss = predictor.loss(sequence, n_targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()

    dtype = {"float32": torch.float32, "bfloat16": torch.bfloat16}[settings.training.precision]
    a, b = (torch.randn(MATRIX_SIZE, MATRIX_SIZE).to(dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(N_PRODUCTS):
            a @ b

    seconds, seconds_of_limit = median_seconds(step, multiply)
    rate = batch * length / seconds
    limit = N_PRODUCTS * 2 * MATRIX_SIZE**3 / seconds_of_limit  # a product takes 2 * size**3 operations
    return {
        "blocks_per_second": rate,
        "machine_gflops": limit / 1e9,
        "share_of_limit": rate * flops_per_block(settings, representation.dim) / limit,
    }


def rendering(settings: Settings) -> dict[str, float]:
    """Roll-outs: four clips' speed in times real time, and the cost of a block in a long clip against a short one."""
    representation = make_representation(settings.representation)
    predictor = make_predictor(settings.predictor, representation.dim).eval()
    prompt = torch.zeros(4, 20 * BLOCK_SIZE)

    def render(n_clips: int, n_blocks: int) -> None:
        for _ in roll_out(predictor, representation, prompt[:n_clips], n_blocks, torch.Generator()):
            pass

    clips, short, long = median_seconds(
        lambda: render(4, MAX_SEQ_LEN), lambda: render(1, MAX_SEQ_LEN), lambda: render(1, 10 * MAX_SEQ_LEN)
    )
    return {
        "times_real_time": 4 * MAX_SEQ_LEN * BLOCK_SIZE / SAMPLE_RATE / clips,
        "block_of_400_to_block_of_40": long / 10 / short,
    }


def measure() -> dict[str, dict[str, float]]:
    """All figures, by part."""
    classic = preset_named("classic")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        make_recordings(Path(folder))
        figures["ingest"] = ingest(Corpus.open(folder), classic)
        for precision in ("float32", "bfloat16"):
            figures[f"training, {precision}"] = training(classic.with_values({"precision": precision}))
        figures["rendering"] = rendering(classic)
        figures["memory of training"] = memory.compare(Path(folder) / "00.wav", hours=(1, 20))
    return figures


def main() -> int:
    """Measure, print, keep."""
    figures = measure()
    table = Table("what", "figure", "value", box=None)
    for part, values in figures.items():
        for name, value in values.items():
            table.add_row(part, name.replace("_", " "), f"{value:,.3g}" if value < 1000 else f"{value:,.0f}")
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "main_line.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(f"wrote {RESULTS / 'main_line.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
