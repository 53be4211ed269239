"""One interface for both ears, and what makes two sets comparable: equal loudness.

    recording -> clips of equal length -> -23 LUFS each -> the network's rate -> overlapping windows -> vectors

A set of clips is a list with one array of vectors for each clip. Vectors of one clip depend on one
another, and clips (nearly) do not: whatever resamples a set must know where its clips begin.
"""

from typing import Protocol

import numpy as np
import soxr
import torch
from torch import Tensor

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.aisfx import load_aisfx
from pipeline.evaluation.musicnn import load_musicnn
from pipeline.evaluation.sets import Vectors
from waveforms import SAMPLE_RATE
from waveforms.audio.decoding import Waveform
from waveforms.audio.loudness import LoudnessMeter

LOUDNESS = -23.0  # LUFS, as EBU R 128 has it: any level will do if it is the same for all
NAMES = ("musicnn", "aisfx")

_N_WINDOWS_PER_BATCH = 8


class Network(Protocol):
    """What an embedding needs of a network.

    Attributes:
        name: one of NAMES.
        dim: of a vector.
        sample_rate: in Hz, of the windows.
        n_fft: samples of a frame; half a frame of silence goes before and behind a waveform.
        n_samples: of a window.
        hop: samples from window to window.
    """

    name: str
    dim: int
    sample_rate: int
    n_fft: int
    n_samples: int
    hop: int

    def __call__(self, windows: Tensor) -> Tensor:
        """(n, n_samples) -> (n, dim)."""
        ...


class Embedding:
    """Embeds waveforms by way of a network, on the CPU. Deterministic.

    Attributes:
        network: see `Network`.
        name: of the network.
        dim: of a vector.
        seconds: of a window; a waveform must be that long.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.name = network.name
        self.dim = network.dim
        self.seconds = (network.n_samples - network.n_fft) / network.sample_rate

    def embed(self, waveform: Waveform) -> Vectors:
        """Bring a clip to LOUDNESS as a whole, and embed it.

        What follows the last whole window is not heard: less than one hop, that is half a window.

        Args:
            waveform: mono float32 (n_samples,) at SAMPLE_RATE.

        Returns:
            float32 (n_vectors, dim), n_vectors = (n_samples - n_window) // hop + 1.

        Raises:
            EvaluationError: the waveform is shorter than a window, or not finite.
        """
        if not np.isfinite(waveform).all():
            raise EvaluationError("a waveform must be finite to be embedded, and this one is not")
        windows = self._windows(at_equal_loudness(waveform))
        with torch.inference_mode():
            batches = [self.network(batch) for batch in torch.split(windows, _N_WINDOWS_PER_BATCH)]
        vectors: Vectors = torch.cat(batches).numpy()
        return vectors

    def _windows(self, waveform: Waveform) -> Tensor:
        """(n_samples,) -> (n_vectors, n_window), views of one padded waveform."""
        network = self.network
        if network.sample_rate != SAMPLE_RATE:
            waveform = soxr.resample(waveform, SAMPLE_RATE, network.sample_rate, quality="HQ")
        padded = torch.from_numpy(np.pad(waveform, network.n_fft // 2))
        if len(padded) < network.n_samples:
            seconds = len(waveform) / network.sample_rate
            raise EvaluationError(f"{self.name} hears windows of {self.seconds:.2f} s and not {seconds:.2f} s")
        return padded.unfold(0, network.n_samples, network.hop)


def load_embedding(name: str) -> Embedding:
    """Load one of NAMES; the first time, its weights are fetched.

    Raises:
        ValueError: there is no such embedding.
        EvaluationError: see `weights.obtain` and `weights.fill`.
    """
    if name not in NAMES:
        raise ValueError(f"an embedding must be one of {', '.join(NAMES)} and not {name!r}")
    return Embedding(load_musicnn() if name == "musicnn" else load_aisfx())


def at_equal_loudness(waveform: Waveform) -> Waveform:
    """Scale a waveform to LOUDNESS. Silence has none and stays; peaks beyond ±1 are kept, not clipped.

    Returns:
        float32 (n_samples,).
    """
    meter = LoudnessMeter()
    meter.add(waveform)
    loudness = meter.integrated()
    gain = 10.0 ** ((LOUDNESS - loudness) / 20.0) if np.isfinite(loudness) else 1.0
    scaled: Waveform = (waveform * np.float32(gain)).astype(np.float32)
    return scaled
