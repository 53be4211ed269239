"""The spectrogram that basic-pitch hears: three bins a semitone from A0; in decibels, 0 to 1 within a window.

    22 050 Hz -> top octave x 36 bins; halve the rate -> next octave, with the same kernels; ... 9 octaves -> 309 bins

Brown & Puckette, "An efficient algorithm for the calculation of a constant Q transform" (1992); one octave
after the other as in Schörkhuber & Klapuri, "Constant-Q transform toolbox for music processing" (2010).
"""

import numpy as np
import numpy.typing as npt
import scipy.signal
import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 22_050  # Hz, of the network, not of the house
HOP = 256  # samples from frame to frame, 11.6 ms
BINS_PER_SEMITONE = 3
N_BINS = 103 * BINS_PER_SEMITONE  # 309: as many whole semitones as lie between A0 and half the sample rate

_LOWEST = 27.5  # Hz, A0
_PER_OCTAVE = 12 * BINS_PER_SEMITONE
_N_OCTAVES = -(-N_BINS // _PER_OCTAVE)  # 9, the lowest of them not whole
_Q = 1.0 / (2.0 ** (1.0 / _PER_OCTAVE) - 1.0)  # 51.4 periods in a kernel, so that neighbours overlap by half
_N_KERNEL = 256  # samples; the longest kernel of an octave has 216
_N_FILTER = 256
_EPSILON = 1e-10  # power, re full scale


class ConstantQ(nn.Module):
    """See the module. Frame n is centred on sample n * HOP of its window."""

    kernels: Tensor
    half_band: Tensor
    gains: Tensor

    def __init__(self) -> None:
        super().__init__()
        frequencies = _LOWEST * 2.0 ** (np.arange(N_BINS) / _PER_OCTAVE)
        kernels = _kernels(frequencies[-_PER_OCTAVE:])
        self.register_buffer("kernels", torch.from_numpy(kernels).float().T.contiguous(), persistent=False)
        self.register_buffer("half_band", torch.from_numpy(_half_band()).float(), persistent=False)
        lengths = np.ceil(_Q * SAMPLE_RATE / frequencies)  # the kernels' at the full rate
        self.register_buffer("gains", torch.from_numpy(np.sqrt(lengths)).float(), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Tell the power in each bin.

        Shape:
            (n, n_samples) -> (n, n_frames, N_BINS), n_frames = n_samples // HOP + 1
        """
        octaves = [self._octave(windows, HOP)]
        for octave in range(1, _N_OCTAVES):
            windows = self._halved(windows)
            octaves.append(self._octave(windows, HOP >> octave))
        magnitude = torch.cat(octaves[::-1], dim=2)[:, :, -N_BINS:] * self.gains
        return magnitude.square()

    def _octave(self, windows: Tensor, hop: int) -> Tensor:
        """(n, n_samples) -> magnitudes (n, n_frames, 36)."""
        padded = F.pad(windows.unsqueeze(1), (_N_KERNEL // 2, _N_KERNEL // 2), mode="reflect").squeeze(1)
        parts = padded.unfold(1, _N_KERNEL, hop) @ self.kernels  # (n, n_frames, 72): real parts, then imaginary
        return torch.hypot(parts[..., :_PER_OCTAVE], parts[..., _PER_OCTAVE:])

    def _halved(self, windows: Tensor) -> Tensor:
        """Keep the lower half of the band at half the rate, (n, n_samples) -> (n, n_samples // 2)."""
        padded = F.pad(windows.unsqueeze(1), (_N_FILTER // 2 - 1, _N_FILTER // 2 - 1))
        return F.conv1d(padded, self.half_band.view(1, 1, -1), stride=2).squeeze(1)


def scaled_level(power: Tensor) -> Tensor:
    """Power in decibels, from 0 at a window's quietest bin to 1 at its loudest; silence is 0 throughout.

    Shape:
        (n, n_frames, n_bins) -> the same
    """
    level = 10.0 * torch.log10(power + _EPSILON)
    level = level - level.amin((1, 2), keepdim=True)
    loudest = level.amax((1, 2), keepdim=True)
    return torch.where(loudest > 0.0, level / loudest, 0.0)


def _kernels(frequencies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Make tapered complex exponentials whose absolute values sum to 1.

    Returns:
        (2 * n_bins, 256): the real parts of all, then the imaginary ones.
    """
    kernels = np.zeros((len(frequencies), _N_KERNEL), np.complex128)
    for kernel, frequency in zip(kernels, frequencies, strict=True):
        length = int(np.ceil(_Q * SAMPLE_RATE / frequency))
        start = (_N_KERNEL - length + 1) // 2 - length % 2
        taper = scipy.signal.get_window("hann", length)
        turns = frequency / SAMPLE_RATE * np.arange(length)
        kernel[start : start + length] = taper / taper.sum() * np.exp(2j * np.pi * turns)
    return np.concatenate([kernels.real, kernels.imag])


def _half_band() -> npt.NDArray[np.float64]:
    """Design a low-pass filter at half the band, as steep as 256 taps can be, (256,)."""
    edge, width = 0.5, 1.001
    taps: npt.NDArray[np.float64] = scipy.signal.firwin2(
        _N_FILTER, [0.0, edge / width, edge * width, 1.0], [1.0, 1.0, 0.0, 0.0]
    )
    return taps
