"""The same work on a GPU, where there is one; in absolute figures, since the peers run on the CPU."""

import torch

from benchmarks.clock import Work, median_seconds, timed
from benchmarks.figures import Figure, Reference
from benchmarks.limits import OPERATIONS, multiply, precisions
from benchmarks.rolling import fresh, prompts_of, render
from benchmarks.trainer import Trainer
from pipeline.config import DEFAULT_PRESET, MAX_SEQ_LEN, preset_named
from pipeline.session import Session
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE

PRESETS = ("classic", DEFAULT_PRESET)


def measure(corpus: Corpus, batches: tuple[int, ...], n_clips: int, n_rounds: int) -> list[Figure]:
    """Rates of training and rendering."""
    trainers = {preset: Trainer(preset_named(preset), "cuda") for preset in PRESETS}
    works: dict[tuple[object, ...], Work] = {("limit", p): multiply(p, "cuda") for p in precisions("cuda")}
    for preset, trainer in trainers.items():
        works |= {(preset, batch, p): trainer.step(batch, p) for batch in batches for p in precisions("cuda")}
        run = fresh(preset, corpus)
        session = Session(run.model, run.codec, "cuda")
        for n in (1, n_clips):
            prompts = prompts_of(run, n)
            works[preset, n] = timed(lambda s=session, p=prompts: render(s, p, MAX_SEQ_LEN))  # type: ignore[misc]
    seconds = median_seconds(works, n_rounds)
    group = torch.cuda.get_device_name()
    figures = []
    for preset, trainer in trainers.items():
        length = trainer.settings.training.sequence_blocks
        for batch in batches:
            for precision in precisions("cuda"):
                at_most = OPERATIONS / seconds["limit", precision] / trainer.step_flops(batch) * batch * length
                rate = batch * length / seconds[preset, batch, precision]
                name = f"training {preset}, batch {batch}, {precision}"
                limit = Reference(f"{precision} products", at_most)
                figures.append(Figure(group, name, rate, "blocks/s", limit=limit))
        for n in (1, n_clips):
            times = n * MAX_SEQ_LEN * BLOCK_SIZE / SAMPLE_RATE / seconds[preset, n]
            figures.append(Figure(group, f"roll-out of {preset}, {n} clips", times, "times real time"))
    return figures
