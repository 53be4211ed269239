"""Speed of training: GRUV's network here, in Keras and in plain torch, our presets, and what matrix products allow.

The same network is dense, one LSTM of 1024, dense, with RMSprop. Ours reads 11 026 numbers a block. The others read
22 050, of which half are redundant, so ours is measured with 22 050 as well.
"""

from typing import Any

import numpy as np
import torch

from benchmarks.costs import products_of
from benchmarks.figures import Figure, Reference, Target
from benchmarks.machine import DTYPES, OPERATIONS, multiply, precisions
from benchmarks.peers import ancestor
from benchmarks.peers.keras_process import Keras
from benchmarks.recordings import random_notes
from benchmarks.timing import Work, median_seconds, timed
from pipeline.codecs import Codec, Latents, make_codec
from pipeline.codecs.events import EventBatch, encode
from pipeline.config import DEFAULT_PRESET, LSTMSettings, Settings, preset_named
from pipeline.distributed import keep_freed_memory
from pipeline.models import Blocks, make_model
from pipeline.models.base import total_loss
from pipeline.training.loop import make_optimiser

CLASSIC = preset_named("classic")
SAME = CLASSIC.with_values({"layers": 1, "dropout": 0.0, "optimiser": "rmsprop"})
REDUNDANT = SAME.with_values({"overlap": 11_023})  # a window twice as long has 22 050 numbers
DEFAULT = preset_named(DEFAULT_PRESET)
GPU_PRESETS = ("classic", DEFAULT_PRESET)
TARGET_BATCH, TARGET_RATIO, TARGET_OF_BEST, TARGET_SHARE = 16, 8, 15, 0.4
WORDS = {
    "same": "same network",
    "redundant": "same network, 22 050 numbers",
    "classic": "classic, 2 layers",
    "default": f"{DEFAULT_PRESET}, the default",
}

Rates = dict[tuple[Any, ...], float]


class Trainer:
    """A model with its optimiser, which makes steps on random sequences in memory, at any batch size and precision.

    Args:
        settings: the settings of the run.
        device: "cpu" or "cuda".
    """

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        keep_freed_memory()  # as training does
        self.settings, self._device = settings, torch.device(device)
        self._codec = make_codec(settings.codec)
        self._model = make_model(settings, self._codec).to(device).train()
        self._optimiser = make_optimiser(self._model, settings.training)

    def step(self, batch: int, precision: str) -> Work:
        """Make a work: an optimiser step."""
        blocks = random_blocks(self._with(batch), self._codec, self._device)
        state = self._model.init_state(blocks.n_rows)

        def step() -> None:
            with torch.autocast(self._device.type, DTYPES[precision], enabled=precision != "float32"):
                losses, _ = self._model.loss(blocks, state)
            total_loss(losses).backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self._optimiser.zero_grad()

        return timed(step)

    def step_flops(self, batch: int) -> int:
        """Count the operations of a step."""
        return products_of(self._with(batch)).step_flops

    def _with(self, batch: int) -> Settings:
        return self.settings.with_values({"batch_size": batch})


def random_blocks(settings: Settings, codec: Codec, device: torch.device) -> Blocks:
    """Sample the sequences of a training step, with `random_notes` where the codec reads notes."""
    n_rows, n_blocks = settings.training.batch_size, settings.training.sequence_blocks
    latent = torch.randn(n_rows, n_blocks, codec.n_frames, codec.dims, device=device)
    if not codec.reads_notes:
        return Blocks(Latents(latent), None)
    conditioning = torch.randn(n_rows, n_blocks, codec.n_frames, codec.conditioning_dims, device=device)
    of_rows = [
        random_notes(np.random.default_rng(n), n_blocks * codec.block_seconds)
        for n in range(n_rows + settings.model.note_sequences)
    ]
    events = EventBatch.of([encode(notes, 0, n_blocks) for notes in of_rows]).to(device)
    return Blocks(Latents(latent, conditioning=conditioning), events)


def measure(keras: Keras | None, batches: tuple[int, ...], n_rounds: int) -> list[Figure]:
    """Measure the blocks of sound that are trained on in a second."""
    trainers = {
        "same": Trainer(SAME),
        "redundant": Trainer(REDUNDANT),
        "classic": Trainer(CLASSIC),
        "default": Trainer(DEFAULT),
    }
    length, width = CLASSIC.training.sequence_blocks, LSTMSettings().width
    works: dict[tuple[Any, ...], Work] = {("limit", p): multiply(p) for p in precisions()}
    for batch in batches:
        works[("torch", batch, "float32")] = ancestor.training_step(batch, length, width)
        for precision in precisions():
            works |= {(name, batch, precision): trainer.step(batch, precision) for name, trainer in trainers.items()}
            if keras:
                works[("Keras", batch, precision)] = keras.train(batch, precision)
    seconds = median_seconds(works, n_rounds)
    lengths = {name: trainer.settings.training.sequence_blocks for name, trainer in trainers.items()}
    rates = {key: key[1] * lengths.get(key[0], length) / seconds[key] for key in works if key[0] != "limit"}
    limits = {
        (name, batch, precision): batch
        * lengths[name]
        / (trainer.step_flops(batch) / OPERATIONS * seconds["limit", precision])
        for name, trainer in trainers.items()
        for batch in batches
        for precision in precisions()
    }
    return _best(rates) + [_figure(rates, limits, *key) for key in rates if key[0] in trainers] + _torch(rates)


def measure_gpu(batches: tuple[int, ...], n_rounds: int) -> list[Figure]:
    """Measure two presets on a GPU, in absolute figures: the peers run on the CPU."""
    trainers = {preset: Trainer(preset_named(preset), "cuda") for preset in GPU_PRESETS}
    works: dict[tuple[Any, ...], Work] = {("limit", p): multiply(p, "cuda") for p in precisions("cuda")}
    for preset, trainer in trainers.items():
        works |= {(preset, batch, p): trainer.step(batch, p) for batch in batches for p in precisions("cuda")}
    seconds = median_seconds(works, n_rounds)
    figures = []
    for preset, batch, precision in (key for key in works if key[0] in trainers):
        n_blocks = batch * trainers[preset].settings.training.sequence_blocks
        at_most = OPERATIONS / seconds["limit", precision] / trainers[preset].step_flops(batch) * n_blocks
        name = f"training {preset}, batch {batch}, {precision}"
        rate = n_blocks / seconds[preset, batch, precision]
        limit = Reference(f"{precision} products", at_most)
        figures.append(Figure(torch.cuda.get_device_name(), name, rate, "blocks/s", limit=limit))
    return figures


def _figure(rates: Rates, limits: Rates, name: str, batch: int, precision: str) -> Figure:
    peer = rates.get(("Keras", batch, "float32")) if name in ("same", "redundant") else None
    target = None
    if (name, batch, precision) == ("same", TARGET_BATCH, precisions()[-1]) and peer:
        target = Target("ratio", TARGET_RATIO)
    elif name in ("classic", "default") and precision == precisions()[-1]:
        target = Target("share", TARGET_SHARE)
    return Figure(
        "training",
        f"{WORDS[name]}, batch {batch}, {precision}",
        rates[name, batch, precision],
        "blocks/s",
        peer=Reference("Keras, float32", peer) if peer else None,
        limit=Reference(f"{precision} products", limits[name, batch, precision]),
        target=target,
    )


def _best(rates: Rates) -> list[Figure]:
    """Compare the fastest of each, whatever its batch size and precision."""

    def best_of(name: str) -> tuple[Any, ...] | None:
        return max((key for key in rates if key[0] == name), key=rates.__getitem__, default=None)

    ours, keras = best_of("same"), best_of("Keras")
    assert ours
    return [
        Figure(
            "training",
            f"best of ours ({_setting(ours)})",
            rates[ours],
            "blocks/s",
            peer=Reference(f"best of Keras: {_setting(keras)}", rates[keras]) if keras else None,
            target=Target("ratio", TARGET_OF_BEST) if keras else None,
        )
    ]


def _setting(key: tuple[Any, ...]) -> str:
    return f"batch {key[1]}, {key[2]}"


def _torch(rates: Rates) -> list[Figure]:
    """Compare ours with plain torch at the same batch size."""
    return [
        Figure(
            "training",
            f"same network and plain torch, {_setting(key)}",
            rates[key],
            "blocks/s",
            peer=Reference("plain torch, float32", rates["torch", key[1], "float32"]),
        )
        for key in rates
        if key[0] == "same"
    ]
