"""The same work on a GPU, where there is one; in absolute figures, since the peers run on the CPU."""

import torch

from benchmarks.clock import Work, median_seconds, timed
from benchmarks.figures import Figure, Reference
from benchmarks.limits import DTYPES, OPERATIONS, multiply
from benchmarks.rolling import classic, render
from benchmarks.trainer import Trainer
from benchmarks.training import CLASSIC, SHAPE
from pipeline.settings import MAX_SEQ_LEN
from waveforms import BLOCK_SIZE, SAMPLE_RATE


def measure(batches: tuple[int, ...], n_clips: int, n_rounds: int) -> list[Figure]:
    """Rates of training and rendering."""
    trainer, model = Trainer(CLASSIC, SHAPE, "cuda"), classic("cuda")
    works: dict[tuple[object, ...], Work] = {("limit", p): multiply(p, "cuda") for p in DTYPES}
    works |= {(batch, p): trainer.step(batch, p) for batch in batches for p in DTYPES}
    works |= {("clips", n): timed(lambda n=n: render(model, n, MAX_SEQ_LEN, "cuda")) for n in (1, n_clips)}  # type: ignore[misc]
    seconds = median_seconds(works, n_rounds)
    group, length = torch.cuda.get_device_name(), CLASSIC.training.sequence_blocks
    figures = []
    for batch in batches:
        for precision in DTYPES:
            limit = OPERATIONS / seconds["limit", precision] / trainer.operations_per_block
            rate = batch * length / seconds[batch, precision]
            name = f"training classic, batch {batch}, {precision}"
            figures.append(Figure(group, name, rate, "blocks/s", limit=Reference(f"{precision} products", limit)))
    for n in (1, n_clips):
        times = n * MAX_SEQ_LEN * BLOCK_SIZE / SAMPLE_RATE / seconds["clips", n]
        figures.append(Figure(group, f"roll-out of {n} clips", times, "times real time"))
    return figures
