"""From files to training arrays the ancestor's way: block by block in Python, in float64, all in memory, twice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.io import wavfile

from pipeline.config import MAX_SEQ_LEN
from waveforms.dsp.blocks import BLOCK_SIZE

Array = npt.NDArray[np.float64]


def load_training_examples(paths: Sequence[Path]) -> tuple[Array, Array]:
    """Sequences of MAX_SEQ_LEN spectra and the same a block later, less their mean, over their deviation.

    Shape:
        twice (n_sequences, MAX_SEQ_LEN, 2 * BLOCK_SIZE)
    """
    sequences, targets = [], []
    for path in paths:
        spectra = _spectra(path)
        for first in range(0, len(spectra) - 1, MAX_SEQ_LEN):
            sequences.append(spectra[first : first + MAX_SEQ_LEN])
            targets.append(spectra[first + 1 : first + MAX_SEQ_LEN + 1])
    x, y = _padded(sequences), _padded(targets)
    mean = x.mean(axis=0).mean(axis=0)
    deviation = np.sqrt(np.square(x - mean).mean(axis=0).mean(axis=0)).clip(1e-8)
    x -= mean
    x /= deviation
    y -= mean
    y /= deviation
    return x, y


def _spectra(path: Path) -> list[Array]:
    _, samples = wavfile.read(path)
    waveform = samples.astype(np.float64) / 32_768
    spectra = []
    for start in range(0, len(waveform), BLOCK_SIZE):
        block = waveform[start : start + BLOCK_SIZE]
        if len(block) < BLOCK_SIZE:
            block = np.concatenate([block, np.zeros(BLOCK_SIZE - len(block))])
        spectrum = np.fft.fft(block)
        spectra.append(np.concatenate([spectrum.real, spectrum.imag]))
    return spectra


def _padded(sequences: list[list[Array]]) -> Array:
    padded = np.zeros((len(sequences), MAX_SEQ_LEN, 2 * BLOCK_SIZE))
    for row, sequence in zip(padded, sequences, strict=True):
        for n, spectrum in enumerate(sequence):
            row[n] = spectrum
    return padded
