"""Training the ancestor's network: ours, Keras, plain torch, and what torch's matrix products allow; our presets, too.

The same network is dense, one LSTM of 1024, dense, with RMSprop. Ours reads 11 026 numbers a block where the others
read 22 050, of which half say nothing new; what it does with all of them is told too.
"""

from typing import Any

from benchmarks.clock import Work, median_seconds
from benchmarks.figures import Figure, Reference, Target
from benchmarks.limits import OPERATIONS, multiply, precisions
from benchmarks.peers import newcomer
from benchmarks.peers.keras_process import Keras
from benchmarks.trainer import Trainer
from pipeline.config import DEFAULT_PRESET, preset_named

CLASSIC = preset_named("classic")
SAME = CLASSIC.with_values({"layers": 1, "dropout": 0.0, "optimiser": "rmsprop"})
REDUNDANT = SAME.with_values({"lap": 11_023})  # a window twice as long has 22 050 numbers
DEFAULT = preset_named(DEFAULT_PRESET)
TARGET_BATCH, TARGET_RATIO, TARGET_OF_BEST, TARGET_SHARE = 16, 8, 15, 0.4
WORDS = {
    "same": "same network",
    "redundant": "same network, 22 050 numbers",
    "classic": "classic, 2 layers",
    "default": f"{DEFAULT_PRESET}, the default",
}

Rates = dict[tuple[Any, ...], float]


def measure(keras: Keras | None, batches: tuple[int, ...], n_rounds: int) -> list[Figure]:
    """Rates of training, in blocks of sound that are predicted in a second."""
    trainers = {
        "same": Trainer(SAME),
        "redundant": Trainer(REDUNDANT),
        "classic": Trainer(CLASSIC),
        "default": Trainer(DEFAULT),
    }
    length, width = CLASSIC.training.sequence_blocks, CLASSIC.model.width
    works: dict[tuple[Any, ...], Work] = {("limit", p): multiply(p) for p in precisions()}
    for batch in batches:
        works[("torch", batch, "float32")] = newcomer.training_step(batch, length, width)
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
    """The fastest of each, whatever its batch size and precision."""

    def best_of(name: str) -> tuple[Any, ...] | None:
        return max((key for key in rates if key[0] == name), key=rates.__getitem__, default=None)

    ours, keras = best_of("same"), best_of("Keras")
    assert ours
    return [
        Figure(
            "training",
            f"best of ours ({_told(ours)})",
            rates[ours],
            "blocks/s",
            peer=Reference(f"best of Keras: {_told(keras)}", rates[keras]) if keras else None,
            target=Target("ratio", TARGET_OF_BEST) if keras else None,
        )
    ]


def _told(key: tuple[Any, ...]) -> str:
    return f"batch {key[1]}, {key[2]}"


def _torch(rates: Rates) -> list[Figure]:
    """Ours against plain torch at the same batch size."""
    return [
        Figure(
            "training",
            f"same network and plain torch, {_told(key)}",
            rates[key],
            "blocks/s",
            peer=Reference("plain torch, float32", rates["torch", key[1], "float32"]),
        )
        for key in rates
        if key[0] == "same"
    ]
