"""The network basic-pitch: the probabilities that each piano key sounds, and that a note begins on it.

    22.05 kHz -> constant-Q spectrogram -> 8 harmonics (1/2, 1, ..., 7) beside one another
      -> contour: 3 frames x 39 bins, 5 x 5 -> note: 7 x 7, every third bin; 7 x 3 -> probability that a key sounds
      -> attack: 5 x 5, every third bin; with the note's -> 3 x 3 -> probability that a note begins

Bittner, Bosch, Rubinstein, Meseguer-Brocal & Ewert, "A lightweight instrument-agnostic model for polyphonic
note transcription and multipitch estimation" (ICASSP 2022; weights Apache 2.0). 17 000 weights.
"""

import numpy as np
import numpy.typing as npt
import scipy.signal
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.pretrained.weights import Published, State, load_weights, tensorflow_variables

SAMPLE_RATE = 22_050  # Hz, the network's, not that of recordings
HOP = 256  # samples from frame to frame, 11.6 ms
N_KEYS = 88
N_SAMPLES: int = 2 * SAMPLE_RATE - HOP  # 43844 in a window; others would be scaled by other loudest bins
N_FRAMES = N_SAMPLES // HOP + 1  # 172
BINS_PER_SEMITONE = 3
N_BINS = 103 * BINS_PER_SEMITONE  # 309: as many whole semitones as lie between A0 and half the sample rate

_N_CONTOUR = N_KEYS * BINS_PER_SEMITONE  # 264
_SHIFTS = (-36, 0, 36, 57, 72, 84, 93, 101)  # bins from a note to its harmonics: round(36 log2 h)
_LOWEST_HARMONICS = slice(1, 4)  # of those: 1, 2, 3
_EPSILON = 1e-3  # of the batch normalisation in training


class BasicPitch(nn.Module):
    """The network, in evaluation mode from the beginning: there is nothing to train."""

    def __init__(self) -> None:
        super().__init__()
        self.spectrogram = ConstantQ()
        self.norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.contour = nn.Sequential(
            nn.Conv2d(8, 8, (3, 39), padding=(1, 19)), nn.BatchNorm2d(8, eps=_EPSILON), nn.ReLU(),
            nn.Conv2d(8, 1, 5, padding=2), nn.Sigmoid(),
        )  # fmt: skip
        self.note = nn.Sequential(
            nn.Conv2d(1, 32, 7, stride=(1, 3), padding=(3, 2)), nn.ReLU(),
            nn.Conv2d(32, 1, (7, 3), padding=(3, 1)), nn.Sigmoid(),
        )  # fmt: skip
        self.attack = nn.Sequential(
            nn.Conv2d(8, 32, 5, stride=(1, 3), padding=(2, 1)), nn.BatchNorm2d(32, eps=_EPSILON), nn.ReLU()
        )
        self.onset = nn.Sequential(nn.Conv2d(33, 1, 3, padding=1), nn.Sigmoid())
        self.eval().requires_grad_(False)

    def forward(self, windows: Tensor) -> Tensor:
        """Return three numbers for each frame and key: the probability that it sounds, that a note begins, its power.

        The power, that of the three lowest harmonics, does not come from the network: its probabilities do not
        depend on a note's loudness.

        Shape:
            (n, N_SAMPLES) -> (n, N_FRAMES, 3, N_KEYS)
        """
        power = self.spectrogram(windows).unsqueeze(1)  # (n, 1, n_frames, N_BINS)
        stacked = _harmonics(self.norm(scaled_decibels(power)))  # (n, 8, n_frames, 264)
        # Five times as fast with the channels last: there are too few of them for torch's other layout.
        stacked = stacked.contiguous(memory_format=torch.channels_last)
        note = self.note(self.contour(stacked))  # (n, 1, n_frames, 88)
        onset = self.onset(torch.cat((note, self.attack(stacked)), dim=1))
        sounding = _harmonics(power)[:, _LOWEST_HARMONICS, :, ::BINS_PER_SEMITONE].sum(1, keepdim=True)
        return torch.cat((note, onset, sounding), dim=1).transpose(1, 2)


def _harmonics(spectrogram: Tensor) -> Tensor:
    """Lay a note's harmonics over it, (n, 1, n_frames, N_BINS) -> (n, 8, n_frames, 264); 0 where there is no bin."""
    before = -min(_SHIFTS)
    padded = F.pad(spectrogram, (before, max(_SHIFTS)))
    return torch.cat([padded[..., before + shift :][..., :_N_CONTOUR] for shift in _SHIFTS], dim=1)


def scaled_decibels(power: Tensor) -> Tensor:
    """Turn power into decibels, from 0 at a window's quietest bin to 1 at its loudest; silence is 0 throughout.

    Shape:
        (n, ..., n_frames, n_bins) -> the same
    """
    decibels = 10.0 * torch.log10(power + 1e-10)
    decibels = decibels - decibels.amin((-2, -1), keepdim=True)
    loudest = decibels.amax((-2, -1), keepdim=True)
    return torch.where(loudest > 0.0, decibels / loudest, 0.0)


_BINS_PER_OCTAVE = 12 * BINS_PER_SEMITONE
_N_OCTAVES = -(-N_BINS // _BINS_PER_OCTAVE)  # 9, the lowest of them not whole
_Q = 1.0 / (2.0 ** (1.0 / _BINS_PER_OCTAVE) - 1.0)  # 51.4 periods in a kernel, so that neighbours overlap by half
_N_KERNEL = 256  # samples; the longest kernel of an octave has 216
_N_FILTER = 256


class ConstantQ(nn.Module):
    """Power in three bins a semitone from A0. Frame n is centred on sample n * HOP of its window.

        top octave x 36 bins; halve the rate -> next octave, with the same kernels; ... 9 octaves -> 309 bins

    Brown & Puckette, "An efficient algorithm for the calculation of a constant Q transform" (1992); one octave after
    the other as in Schörkhuber & Klapuri, "Constant-Q transform toolbox for music processing" (2010). The network was
    trained on these very filters: with librosa's, its probabilities are off by up to 0.2.
    """

    kernels: Tensor
    half_band: Tensor
    gains: Tensor

    def __init__(self) -> None:
        super().__init__()
        frequencies = 27.5 * 2.0 ** (np.arange(N_BINS) / _BINS_PER_OCTAVE)
        kernels = _kernels(frequencies[-_BINS_PER_OCTAVE:])
        self.register_buffer("kernels", torch.from_numpy(kernels).float().T.contiguous(), persistent=False)
        self.register_buffer("half_band", torch.from_numpy(_half_band()).float(), persistent=False)
        lengths = np.ceil(_Q * SAMPLE_RATE / frequencies)  # the kernels' at the full rate
        self.register_buffer("gains", torch.from_numpy(np.sqrt(lengths)).float(), persistent=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Return the power in each bin.

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
        return torch.hypot(parts[..., :_BINS_PER_OCTAVE], parts[..., _BINS_PER_OCTAVE:])

    def _halved(self, windows: Tensor) -> Tensor:
        """Keep the lower half of the band at half the rate, (n, n_samples) -> (n, n_samples // 2)."""
        padded = F.pad(windows.unsqueeze(1), (_N_FILTER // 2 - 1, _N_FILTER // 2 - 1))
        return F.conv1d(padded, self.half_band.view(1, 1, -1), stride=2).squeeze(1)


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
        phase = 2.0 * np.pi * frequency / SAMPLE_RATE * np.arange(length)
        kernel[start : start + length] = taper / taper.sum() * np.exp(1j * phase)
    return np.concatenate([kernels.real, kernels.imag])


def _half_band() -> npt.NDArray[np.float64]:
    """Design a low-pass filter at half the band, as steep as 256 taps can be, (256,)."""
    edge, width = 0.5, 1.001
    taps: npt.NDArray[np.float64] = scipy.signal.firwin2(
        _N_FILTER, [0.0, edge / width, edge * width, 1.0], [1.0, 1.0, 0.0, 0.0]
    )
    return taps


def load_basic_pitch() -> BasicPitch:
    """Build the network with its published weights.

    Raises:
        EvaluationError: see `weights.load_weights`.
    """
    network = BasicPitch()
    load_weights(network, PUBLISHED)
    return network


def _read(data: bytes) -> State:
    """Read the published variables, which lie layer by layer, in the order of the network."""
    state = BasicPitch().state_dict()
    layers = ("norm", "contour.0", "contour.1", "contour.3", "note.0", "attack.0", "attack.1", "note.2", "onset.0")
    parts = ("weight", "bias", "running_mean", "running_var")
    names = [f"{layer}.{part}" for layer in layers for part in parts if f"{layer}.{part}" in state]
    return state | tensorflow_variables(data, names, state)


PUBLISHED = Published(
    package="basic-pitch",
    version="0.4.0",
    sha256="738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
    member="basic_pitch/saved_models/icassp_2022/nmp/variables/variables.data-00000-of-00001",
    read=_read,
)
