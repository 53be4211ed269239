"""A toy piano for tests of metrics: as a sampled one does, it plays each key with the same sound every time."""

from functools import cache

import numpy as np
from scipy.signal import butter, sosfilt

from waveforms import SAMPLE_RATE

_FELT = butter(4, 3_000, fs=SAMPLE_RATE, output="sos")  # a hammer's knock has little above 3 kHz
N_NOTE = 3 * SAMPLE_RATE  # samples a key sounds


@cache
def key(pitch: int) -> np.ndarray:
    """One key's sound, decaying partials and a knock, (N_NOTE,)."""
    rng = np.random.default_rng(pitch)
    time = np.arange(N_NOTE) / SAMPLE_RATE
    sound = np.zeros(N_NOTE)
    for partial in range(1, 9):
        frequency = 440 * 2 ** ((pitch - 69) / 12) * partial * np.sqrt(1 + 4e-4 * partial**2)
        phase = rng.uniform(0, 2 * np.pi)
        sound += np.sin(2 * np.pi * frequency * time + phase) / partial * np.exp(-(1.5 + 0.5 * partial) * time)
    sound += sosfilt(_FELT, rng.normal(0, 1, N_NOTE) * np.exp(-150 * time))
    return (sound * np.minimum(time / 0.002, 1) * np.minimum((3 - time) / 0.1, 1)).astype(np.float32)


def playing(
    seed: int, seconds: float, *, pitches: tuple[int, ...] = tuple(range(45, 85)), touch: int = 0
) -> np.ndarray:
    """A performance, six notes a second or so; another touch strikes the same keys at the same times, (n_samples,)."""
    rng, hand = np.random.default_rng(seed), np.random.default_rng([seed, touch])
    n_samples = round(seconds * SAMPLE_RATE)
    waveform = np.zeros(n_samples + N_NOTE, np.float32)
    onset = 0.0
    while onset < n_samples:
        start = int(onset)
        waveform[start : start + N_NOTE] += hand.uniform(0.02, 0.1) * key(int(rng.choice(pitches)))
        onset += rng.uniform(0.05, 0.3) * SAMPLE_RATE
    room = hand.normal(0, 1e-5, n_samples)
    return (waveform[:n_samples] + room).astype(np.float32)
