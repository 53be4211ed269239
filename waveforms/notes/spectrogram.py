"""Waveform -> spectrograms over the keys' own axis of frequency: a third of a semitone a bin, in frames of 20 ms.

A window that tells neighbouring bass strings apart blurs the moment at which a hammer strikes, so there are two views:
a long one of 186 ms, a frame every 20 ms, and a short one of 46 ms, two to a frame. Both are compressed
logarithmically (Mueller, "Fundamentals of Music Processing", 3.1.2.1), so that faint partials count.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from waveforms import SAMPLE_RATE
from waveforms.notes.performance import LOWEST_PITCH

FRAME_SAMPLES = 882  # 20 ms
FRAMES_PER_SECOND = SAMPLE_RATE / FRAME_SAMPLES  # 50
N_SHORT, N_LONG = 2048, 8192  # samples of the windows
SHORT_PER_FRAME = 2
BINS_PER_SEMITONE = 3
N_SEMITONES = 108  # from A0 up, nine octaves, to 14 kHz: harmonics of the topmost keys
N_BINS = BINS_PER_SEMITONE * N_SEMITONES  # 324
COMPRESSION = 3000.0  # what a magnitude is multiplied by before log(1 + x): below -70 dB it is nearly linear
MARGIN = (N_LONG - FRAME_SAMPLES) // 2  # 3655 samples that the first and last windows reach beyond their frames


def to_spectrograms(extended: Tensor) -> tuple[Tensor, Tensor]:
    """The short and the long view of a waveform that brings MARGIN samples around it.

    Shape:
        (..., n_frames * FRAME_SAMPLES + 2 * MARGIN)
            -> (..., SHORT_PER_FRAME * n_frames, N_BINS), (..., n_frames, N_BINS)
    """
    hop = FRAME_SAMPLES // SHORT_PER_FRAME
    first = MARGIN - (N_SHORT - hop) // 2
    short = extended[..., first : extended.shape[-1] - 2 * MARGIN + first + N_SHORT - hop]
    return _view(short, N_SHORT, hop), _view(extended, N_LONG, FRAME_SAMPLES)


def to_magnitudes(compressed: Tensor) -> Tensor:
    """Magnitudes, a sine of amplitude 1 being 1, of what `to_spectrograms` gives."""
    return torch.expm1(compressed) / COMPRESSION


def from_magnitudes(magnitudes: Tensor) -> Tensor:
    """The inverse of `to_magnitudes`."""
    return torch.log1p(COMPRESSION * magnitudes)


def _view(extended: Tensor, n_fft: int, hop: int) -> Tensor:
    window = torch.hann_window(n_fft, dtype=extended.dtype, device=extended.device) * (4 / n_fft)
    spectrum = torch.fft.rfft(extended.unfold(-1, n_fft, hop) * window)
    weights = _weights(n_fft, extended.dtype, extended.device)
    power = spectrum[..., : len(weights)].abs().square() @ weights
    return from_magnitudes(power.sqrt())


@lru_cache
def _weights(n_fft: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """What each bin of the FFT gives to each bin of ours: triangles as wide as the coarser of the two spacings.

    Shape:
        (n_used, N_BINS), columns sum to 1
    """
    steps = torch.arange(N_BINS, dtype=torch.float64) / BINS_PER_SEMITONE - 1 / BINS_PER_SEMITONE
    centres = 440 * 2 ** ((LOWEST_PITCH + steps - 69) / 12) * n_fft / SAMPLE_RATE  # in bins of the FFT
    reach = (centres * (2 ** (1 / (12 * BINS_PER_SEMITONE)) - 1)).clamp(min=1)
    n_used = int(centres[-1] + reach[-1]) + 2
    bins = torch.arange(n_used, dtype=torch.float64)[:, None]
    triangles = F.relu(1 - (bins - centres).abs() / reach)
    return (triangles / triangles.sum(0)).to(device, dtype)
