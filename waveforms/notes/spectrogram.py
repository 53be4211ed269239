"""Waveform -> spectrograms on a log-frequency axis aligned with the keys: a third of a semitone a bin, 20 ms a frame.

A window that separates neighbouring bass strings blurs onsets, so there are two views: a long one of 186 ms, a frame
every 20 ms, and a short one of 46 ms, two to a frame. Both are compressed logarithmically (Mueller, "Fundamentals of
Music Processing", 3.1.2.1), so that faint partials count.
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
COMPRESSION = 3000.0  # factor of magnitudes before log(1 + x): below -70 dB it is nearly linear
PADDING = (N_LONG - FRAME_SAMPLES) // 2  # 3655 samples of context before the first and after the last frame


def to_spectrograms(padded: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the short and the long view of a waveform with PADDING samples around it.

    Shape:
        (..., n_frames * FRAME_SAMPLES + 2 * PADDING)
            -> (..., SHORT_PER_FRAME * n_frames, N_BINS), (..., n_frames, N_BINS)
    """
    hop = FRAME_SAMPLES // SHORT_PER_FRAME
    first = PADDING - (N_SHORT - hop) // 2
    short = padded[..., first : padded.shape[-1] - 2 * PADDING + first + N_SHORT - hop]
    return _view(short, N_SHORT, hop), _view(padded, N_LONG, FRAME_SAMPLES)


def to_magnitudes(compressed: Tensor) -> Tensor:
    """Restore magnitudes from compressed ones; a sine of amplitude 1 has 1. The inverse of `from_magnitudes`."""
    return torch.expm1(compressed) / COMPRESSION


def from_magnitudes(magnitudes: Tensor) -> Tensor:
    """Compress magnitudes. The inverse of `to_magnitudes`."""
    return torch.log1p(COMPRESSION * magnitudes)


def _view(padded: Tensor, n_fft: int, hop: int) -> Tensor:
    window = torch.hann_window(n_fft, dtype=padded.dtype, device=padded.device) * (4 / n_fft)
    spectrum = torch.fft.rfft(padded.unfold(-1, n_fft, hop) * window)
    weights = _weights(n_fft, padded.dtype, padded.device)
    power = spectrum[..., : len(weights)].abs().square() @ weights
    return from_magnitudes(power.sqrt())


@lru_cache
def _weights(n_fft: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Weigh each bin of the FFT in each bin of ours: triangles as wide as the coarser of the two spacings.

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
