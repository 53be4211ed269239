"""GRUV's network as one would write it in Keras 3 today, on TensorFlow, in an environment of its own.

It imports nothing of this project. It reads one request a line, does the work and prints the seconds that it took:

    {"work": "train", "batch": 16, "precision": "float32"}    one optimiser step on sequences of 40 blocks
    {"work": "roll out", "n_blocks": 40, "every": 1}          one clip after a prompt of 40 blocks

GRUV runs the whole growing sequence again for each block. With `every` above 1, one of `every` blocks is predicted, and
its time counts for the others.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

DIM = 22_050  # real and imaginary parts of the whole complex FFT of 11025 samples
WIDTH = 1024
N_BLOCKS = 40  # of a sequence, and of a prompt

_networks: dict[str, Any] = {}


def network(precision: str) -> Any:
    """Build dense, one LSTM, dense: 53.6 M parameters, mean absolute error, RMSprop."""
    if precision not in _networks:
        keras.config.set_dtype_policy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision])
        layers = [
            keras.Input((None, DIM)),
            keras.layers.Dense(WIDTH),
            keras.layers.LSTM(WIDTH, return_sequences=True),
            keras.layers.Dense(DIM, dtype="float32"),
        ]
        _networks[precision] = keras.Sequential(layers)
        _networks[precision].compile(optimizer="rmsprop", loss="mean_absolute_error")
    return _networks[precision]


def train(batch: int, precision: str) -> float:
    """Time an optimiser step on random sequences in memory."""
    x, y = np.random.default_rng(0).standard_normal((2, batch, N_BLOCKS, DIM), np.float32)
    model = network(precision)
    since = time.perf_counter()
    model.train_on_batch(x, y)
    return time.perf_counter() - since


def roll_out(n_blocks: int, every: int) -> float:
    """Time a clip: predict on the whole sequence, append the last block, and repeat."""
    model = network("float32")
    sequence = np.random.default_rng(0).standard_normal((1, N_BLOCKS, DIM), np.float32)
    seconds = 0.0
    for _ in range(every // 2, n_blocks, every):
        since = time.perf_counter()
        last = model.predict(sequence, verbose=0)[:, -1:]  # `predict_on_batch` would save 0.2 s at each call
        sequence = np.concatenate([sequence, last], axis=1)
        seconds += every * (time.perf_counter() - since)
        sequence = np.concatenate([sequence, np.repeat(last, every - 1, axis=1)], axis=1)
    return seconds


WORKS: dict[str, Callable[..., float]] = {"train": train, "roll out": roll_out}

if __name__ == "__main__":
    for line in sys.stdin:
        request = json.loads(line)
        seconds = WORKS[request.pop("work")](**request)
        print(json.dumps({"seconds": seconds}), flush=True)
