"""Does a clip go round in circles? Stretches that repeat an earlier one, and at what period."""

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import binary_opening

from pipeline.evaluation.bands import HOP, Bands, decibels
from waveforms import SAMPLE_RATE

# In 106 clips of ten seconds of a sampled piano, which repeats itself most, the best second that meets an earlier one
# is 1.8 dB apart, and in 82 of recordings none is within this; loops are 0 to 0.7 dB apart, after phase recovery too.
MAX_DISTANCE = 1.2  # dB
SHORTEST, LONGEST = 0.5, 10.0  # seconds: every period between is looked for, and of longer ones those that are likely

_STRIDE = 3  # every third frame is compared, with every lag: 20 a second
_MIN_RUN = SAMPLE_RATE // (HOP * _STRIDE)  # compared frames: a second
_DEPTH = 1e-5  # re a frame's loudest band, -50 dB: what lies below is not compared
_N_LIKELY = 200  # longer periods: a third of the work of the shorter ones


def find_loops(bands: Bands, alive: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """How much of a clip repeats what it has played, and at what period.

    Args:
        bands: of the clip.
        alive: which frames count, (n_frames,): silence or a drone meets itself at every lag, and is no loop.

    Returns:
        the share of the clip's frames, 0 to 1, that lie in a second or more which meets an earlier one; and the period
        in seconds at which most of it does, 0 if there is none.
    """
    floor = _DEPTH * bands.power.max(axis=1, keepdims=True)
    level = decibels(np.maximum(bands.power, floor)).astype(np.float32)
    weight = np.sqrt(bands.power)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    looped = np.zeros(len(level[::_STRIDE]), bool)
    best_lag, most = 0, 0
    shortest, longest = (round(seconds * SAMPLE_RATE / HOP) for seconds in (SHORTEST, LONGEST))
    for lag in [*range(shortest, min(longest, len(level) - 1) + 1), *_likely(level, longest + 1)]:
        first = -(-lag // _STRIDE)  # compared frame: the first that has a frame so long before it
        now = slice(first * _STRIDE, None, _STRIDE)
        n_now = len(level[now])
        before = slice(first * _STRIDE - lag, None, _STRIDE)
        apart = np.einsum("ij,ij->i", np.abs(level[now] - level[before][:n_now]), weight[now])
        alike = (apart <= MAX_DISTANCE) & alive[now] & alive[before][:n_now]
        runs = binary_opening(alike, np.ones(_MIN_RUN))
        looped[first:] |= runs
        if np.count_nonzero(runs) > most:
            best_lag, most = lag, int(np.count_nonzero(runs))
    return float(looped.mean()), best_lag * HOP / SAMPLE_RATE


def _likely(level: npt.NDArray[np.float32], first: int) -> list[int]:
    """Lags from `first` on, up to half of the clip, at which its levels are most alike: peaks of autocorrelation."""
    if len(level) // 2 <= first:
        return []
    n_fft = scipy.fft.next_fast_len(2 * len(level), real=True)
    spectra = scipy.fft.rfft(level - level.mean(axis=0), n_fft, axis=0)
    alike = scipy.fft.irfft((spectra.real**2 + spectra.imag**2).sum(axis=1), n_fft)[first - 1 : len(level) // 2 + 1]
    alike /= len(level) - np.arange(
        first - 1, first - 1 + len(alike)
    )  # of the frames that have one so long before them
    peaks = 1 + np.flatnonzero((alike[1:-1] > alike[:-2]) & (alike[1:-1] >= alike[2:]))
    best = peaks[np.argsort(-alike[peaks], kind="stable")[:_N_LIKELY]]
    return sorted((first - 1 + best).tolist())
