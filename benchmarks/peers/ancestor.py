"""GRUV's way, written here from its description: its training arrays, and its network in plain torch.

Files become arrays block by block in Python, in float64, with inputs and targets both in memory. The network is what a
newcomer writes: float32, and a DataLoader over tensors that were computed before.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy.io import wavfile
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import Work, timed
from pipeline.config import MAX_SEQ_LEN
from waveforms.dsp.blocks import BLOCK_SIZE

DIM = 2 * BLOCK_SIZE  # real and imaginary parts of the whole complex FFT of a block, 22 050

Array = npt.NDArray[np.float64]


def load_training_examples(paths: Sequence[Path]) -> tuple[Array, Array]:
    """Load sequences of MAX_SEQ_LEN spectra and the same a block later, standardised by the mean and std of the former.

    Shape:
        each (n_sequences, MAX_SEQ_LEN, DIM)
    """
    sequences, targets = [], []
    for path in paths:
        spectra = _spectra(path)
        for first in range(0, len(spectra) - 1, MAX_SEQ_LEN):
            sequences.append(spectra[first : first + MAX_SEQ_LEN])
            targets.append(spectra[first + 1 : first + MAX_SEQ_LEN + 1])
    x, y = _padded(sequences), _padded(targets)
    mean = x.mean(axis=0).mean(axis=0)
    std = np.sqrt(np.square(x - mean).mean(axis=0).mean(axis=0)).clip(1e-8)
    x -= mean
    x /= std
    y -= mean
    y /= std
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
    padded = np.zeros((len(sequences), MAX_SEQ_LEN, DIM))
    for row, sequence in zip(padded, sequences, strict=True):
        for n, spectrum in enumerate(sequence):
            row[n] = spectrum
    return padded


class Network(nn.Module):
    """Dense, one LSTM, dense."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(DIM, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.out = nn.Linear(width, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Predict the next block: (batch, length, DIM) -> (batch, length, DIM)."""
        outputs, _ = self.lstm(self.dense(x))
        predicted: Tensor = self.out(outputs)
        return predicted


def training_step(batch: int, length: int, width: int) -> Work:
    """Make a work: an optimiser step on random sequences."""
    x, y = torch.randn(2, batch, length, DIM)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
    model = Network(width)
    optimiser = torch.optim.RMSprop(model.parameters())
    loss_function = nn.L1Loss()

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        inputs, targets = next(batches)
        optimiser.zero_grad()
        loss = loss_function(model(inputs), targets)
        loss.backward()
        optimiser.step()

    return timed(step)
