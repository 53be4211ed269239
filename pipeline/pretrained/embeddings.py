"""Embeddings of clips by published networks.

    clip -> -23 LUFS -> the network's sample rate -> overlapping windows -> network -> one vector for each window

Clips are brought to one loudness first, because what is compared is music and fidelity and not gain.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor

from pipeline.errors import EvaluationError
from pipeline.pretrained.aisfx import load_aisfx
from pipeline.pretrained.musicnn import load_musicnn
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

Vectors = npt.NDArray[np.floating]  # (n_vectors, dim), of one clip

LOUDNESS = -23.0  # LUFS, as in EBU R 128: any loudness will do if it is the same for all
NAMES = ("musicnn", "aisfx")

_N_WINDOWS_PER_BATCH = 8


class Network(Protocol):
    """What an embedding needs of a network.

    Attributes:
        name: one of NAMES.
        sample_rate: the windows', in Hz.
        n_fft: samples of a frame; half a frame of silence goes before and behind a waveform.
        n_samples: samples of a window.
        hop: samples from window to window.
    """

    name: str
    sample_rate: int
    n_fft: int
    n_samples: int
    hop: int

    def __call__(self, windows: Tensor) -> Tensor:
        """(n, n_samples) -> (n, dim)."""
        ...


class Embedding:
    """Embeds waveforms with a network, on the CPU. Deterministic.

    Attributes:
        network: the network.
        seconds: length of a window; a waveform must be that long.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.seconds = (network.n_samples - network.n_fft) / network.sample_rate

    def embed(self, waveform: Waveform) -> Vectors:
        """Embed a clip at the loudness that it has: see `at_equal_loudness`.

        What follows the last whole window is left out: less than one hop, that is half a window.

        Args:
            waveform: mono float32 (n_samples,) at SAMPLE_RATE.

        Returns:
            float32 (n_vectors, dim), n_vectors = (n_samples - n_window) // hop + 1.

        Raises:
            EvaluationError: the waveform is shorter than a window, or not finite.
        """
        if not np.isfinite(waveform).all():
            raise EvaluationError("a waveform must be finite to be embedded, and this one is not")
        with torch.inference_mode():
            batches = [self.network(batch) for batch in torch.split(self._windows(waveform), _N_WINDOWS_PER_BATCH)]
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
            raise EvaluationError(f"{network.name} embeds windows of {self.seconds:.2f} s and not {seconds:.2f} s")
        return padded.unfold(0, network.n_samples, network.hop)


def load_embedding(name: str) -> Embedding:
    """Load one of NAMES; the first time, its weights are fetched.

    Raises:
        ValueError: there is no such embedding.
        EvaluationError: see `weights.load_weights`.
    """
    if name not in NAMES:
        raise ValueError(f"an embedding must be one of {', '.join(NAMES)} and not {name!r}")
    return Embedding(load_musicnn() if name == "musicnn" else load_aisfx())


def at_equal_loudness(waveform: Waveform, loudness: float) -> Waveform:
    """Scale a waveform to LOUDNESS. Silence, which has no loudness, stays; peaks beyond ±1 are kept, not clipped.

    Args:
        waveform: (n_samples,).
        loudness: its integrated loudness in LUFS.

    Returns:
        float32 (n_samples,).
    """
    gain = 10.0 ** ((LOUDNESS - loudness) / 20.0) if np.isfinite(loudness) else 1.0
    scaled: Waveform = (waveform * np.float32(gain)).astype(np.float32)
    return scaled
