"""How far a spectrum is from the one that should be there: the log-spectral distance."""

import torch
from torch import Tensor

from waveforms.dsp.spectra import to_frames

DEPTH = 60.0  # dB below the loudest, where the floor lies: what is further down is not heard beside it
_FAINTEST = 1e-6  # power of the loudest, re a sine at full scale: in what is fainter still, nothing counts


def floor_below(waveform: Tensor) -> Tensor:
    """The power below which all counts as equal, DEPTH below the loudest frequency of the loudest frame.

    Shape:
        (..., n_samples) -> (...)
    """
    loudest: Tensor = _power(waveform).amax((-2, -1))
    return loudest.clamp_min(_FAINTEST) * 10 ** (-DEPTH / 10)


def log_spectral_distance(waveform: Tensor, real: Tensor, floor: Tensor) -> Tensor:
    """The RMS difference of two log power spectra over all frames and frequencies, in dB.

    Gray & Markel, "Distance measures for speech processing" (1976). Frames of 2048 samples (46 ms) under a Hann
    window every 441 (10 ms), all of them inside the waveforms. Without a floor the logarithm would make most of what
    nobody hears.

    Args:
        waveform: what is there.
        real: what should be.
        floor: from `floor_below`, of what should be and what it is heard in.

    Shape:
        (..., n_samples), (..., n_samples), (...) -> (...)
    """
    difference = _decibels(waveform, floor) - _decibels(real, floor)
    return difference.square().mean((-2, -1)).sqrt()


def _decibels(waveform: Tensor, floor: Tensor) -> Tensor:
    return 10 * torch.maximum(_power(waveform), floor[..., None, None]).log10()


def _power(waveform: Tensor) -> Tensor:
    """(..., n_samples) -> (..., n_frames, n_bins), 1 for a sine at full scale."""
    return to_frames(waveform).abs().square()
