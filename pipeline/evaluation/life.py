"""Does a clip stay alive? Its level over time, collapse, loops, and how its spectrum moves.

    clip -> power in 48 bands and flatness, 60 frames a second -> still, collapsed, looped frames; flatness; flux
         -> RMS of every quarter of a second                   -> silence, drift of the level

What is usual differs from corpus to corpus, so hold each number against those of reference clips.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import scipy.fft
from librosa.filters import mel
from scipy.ndimage import binary_opening
from scipy.signal import find_peaks

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

QUARTER = SAMPLE_RATE // 4  # samples that are judged as one: the block of our codecs, and of the ancestor
SILENCE = -60.0  # dB re full scale
# dB: how much a band's level varies in 2 s. 99 % of clips of clean piano never come below 1.5, as all notes decay;
# steady noise has 0.55, a drone and a repeated block none.
STILL = 1.0
# Geometric over arithmetic mean of power. Clean piano stays below 0.003; noise has 0.56.
NOISY = 0.1
# A piano that was sampled repeats itself most. The best second of 106 such clips of 10 s that meets an earlier one is
# 1.8 dB apart, and none of 82 clips of recordings comes within this; loops are 0 to 0.7 dB apart, after phase recovery
# too.
MAX_DISTANCE = 1.2  # dB
SHORTEST, LONGEST = 0.5, 10.0  # seconds: every period between is looked for, and of longer ones those that are likely

_HOP = QUARTER // 15  # 735 samples, 16.7 ms; it divides a block, so a loop of whole blocks meets itself exactly
_FRAMES_PER_BLOCK = QUARTER // _HOP  # 15
_N_FFT = 4096  # samples, 93 ms
_HANN = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
_N_BANDS = 48
_BINS = slice(5, 900)  # 54 Hz to 9.7 kHz: for flatness
_N_AT_ONCE = 600  # frames, 10 s: so that a clip of any length takes little memory
_FLOOR = 1e-12  # power, re full scale: -120 dB

_N_STILL = 8  # blocks, 2 s
_N_APART = 3  # frames, 50 ms: from one spectrum to the next, for the flux
_AUDIBLE = 50.0  # dB: bands further below the loudest one are left out

_STRIDE = 3  # every third frame is compared, with every lag: 20 a second
_MIN_RUN = SAMPLE_RATE // (_HOP * _STRIDE)  # compared frames: a second
_DEPTH = 1e-5  # re a frame's loudest band, -50 dB: what lies below is not compared
_N_LIKELY = 200  # longer periods: a third of the work of the shorter ones

Float = TypeVar("Float", bound=np.floating)
Collapse = Literal["silence", "drone", "buzz"]
Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Life:
    """How a clip moves.

    Attributes:
        level_drift: the last third's RMS over the first third's, in dB; neither counts as less than -120 dB.
        silent_share: how much of it, 0 to 1, lies below SILENCE.
        still_share: how much, 0 to 1, sounds on without change for 2 s and more.
        collapse: what the clip ends in, if it ends in 2 s or more of that.
        collapse_at: when that begins, in seconds; the clip's length if it does not.
        loop_share: how much of it, 0 to 1, repeats an earlier second or more.
        loop_period: the period in seconds at which most of that repeats; 0 if nothing does.
        flatness: median of the spectral flatness of what sounds, 0 (a tone) to 1; noise has 0.56.
        flux: median change of what sounds in 50 ms: half the absolute difference of two magnitude spectra of sum 1,
            0 (the same) to 1 (nothing in common).
    """

    level_drift: float
    silent_share: float
    still_share: float
    collapse: Collapse | None
    collapse_at: float
    loop_share: float
    loop_period: float
    flatness: float
    flux: float


class _Bands(NamedTuple):
    """A clip in bands; frame n is centred on sample n * _HOP."""

    power: npt.NDArray[np.float32]  # (n_frames, _N_BANDS), in mel bands from 50 Hz to 10 kHz, full scale at 1
    flatness: npt.NDArray[np.float32]  # (n_frames,), geometric over arithmetic mean of the power in FFT bins


def measure_life(clip: Waveform) -> Life:
    """Measure how a clip, float32 (n_samples,), moves.

    Raises:
        ValueError: the clip is shorter than a block.
    """
    if len(clip) < QUARTER:
        raise ValueError(f"a clip must have {QUARTER} samples or more and not {len(clip)}")
    n_blocks = len(clip) // QUARTER
    squares = clip[: n_blocks * QUARTER].astype(np.float64).reshape(n_blocks, QUARTER) ** 2
    powers = squares.mean(axis=1)
    bands = _in_bands(clip[: n_blocks * QUARTER])
    silent = decibels(powers) < SILENCE
    still = _still(bands, silent)
    alive = _of_frames(~(silent | still), len(bands.power))
    sounding = _of_frames(~silent, len(bands.power))
    kind, n_alive = _collapse(silent, still, bands.flatness)
    loop_share, loop_period = _loops(bands, alive)
    third = max(n_blocks // 3, 1)
    return Life(
        level_drift=float(decibels(powers[-third:].mean()) - decibels(powers[:third].mean())),
        silent_share=float(silent.mean()),
        still_share=float(still.mean()),
        collapse=kind,
        collapse_at=n_alive * QUARTER / SAMPLE_RATE if kind else len(clip) / SAMPLE_RATE,
        loop_share=loop_share,
        loop_period=loop_period,
        flatness=float(np.median(bands.flatness[sounding])) if sounding.any() else 0.0,
        flux=_flux(bands, sounding),
    )


def _still(bands: _Bands, silent: Flags) -> Flags:
    """Which blocks lie in 2 s that sound and do not change, (n_blocks,)."""
    n_blocks = len(silent)
    whole = bands.power[: n_blocks * _FRAMES_PER_BLOCK].reshape(n_blocks, _FRAMES_PER_BLOCK, -1)
    levels = decibels(whole[:, 2:-2].mean(axis=1))  # (n_blocks, _N_BANDS), of frames that lie in the block alone
    still = np.zeros(n_blocks, bool)
    for first in range(n_blocks - _N_STILL + 1):
        window = slice(first, first + _N_STILL)
        mean = levels[window].mean(axis=0)
        motion = levels[window, mean > mean.max() - _AUDIBLE].std(axis=0).mean()
        if motion < STILL and not silent[window].any():
            still[window] = True
    return still


def _collapse(silent: Flags, still: Flags, flatness: Floats) -> tuple[Collapse | None, int]:
    """What a clip ends in, and how many blocks come before that."""
    living = np.flatnonzero(~(silent | still))
    n_alive = int(living[-1]) + 1 if len(living) else 0
    if len(silent) - n_alive < _N_STILL:
        return None, len(silent)
    if silent[n_alive:].mean() > 0.5:
        return "silence", n_alive
    noisy = np.median(flatness[n_alive * _FRAMES_PER_BLOCK :]) > NOISY
    return ("buzz" if noisy else "drone"), n_alive


def _flux(bands: _Bands, sounding: Flags) -> float:
    magnitude = np.sqrt(bands.power)
    magnitude /= np.maximum(magnitude.sum(axis=1, keepdims=True), 1e-12)
    change = np.abs(magnitude[_N_APART:] - magnitude[:-_N_APART]).sum(axis=1) / 2
    both = sounding[_N_APART:] & sounding[:-_N_APART]
    return float(np.median(change[both])) if both.any() else 0.0


def _of_frames(blocks: Flags, n_frames: int) -> Flags:
    """Repeat the flag of each block for each of its frames; the last frame is centred on the clip's end."""
    return np.pad(np.repeat(blocks, _FRAMES_PER_BLOCK), (0, n_frames), mode="edge")[:n_frames]


def _in_bands(clip: Waveform) -> _Bands:
    """Analyse a clip into n_samples // _HOP + 1 frames."""
    padded = np.pad(clip.astype(np.float32), _N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _N_FFT)[::_HOP]
    powers, flatness = [], []
    for start in range(0, len(frames), _N_AT_ONCE):
        spectra = scipy.fft.rfft(frames[start : start + _N_AT_ONCE] * _HANN) * np.float32(4 / _N_FFT)
        power = spectra.real**2 + spectra.imag**2  # (n, _N_FFT // 2 + 1)
        powers.append(power @ _filters().T)
        middle = power[:, _BINS] + np.float32(_FLOOR)
        flatness.append(np.exp(np.log(middle).mean(axis=1)) / middle.mean(axis=1))
    return _Bands(np.concatenate(powers), np.concatenate(flatness))


@cache
def _filters() -> npt.NDArray[np.float32]:
    filters: npt.NDArray[np.float32] = mel(
        sr=SAMPLE_RATE, n_fft=_N_FFT, n_mels=_N_BANDS, fmin=50, fmax=10_000, htk=True, norm=None
    )
    return filters


def _loops(bands: _Bands, alive: Flags) -> tuple[float, float]:
    """The share of a clip that lies in a second or more which meets an earlier one, and at what period most of it does.

    The period is in seconds, 0 if there is none. Only frames that are alive count: silence or a drone meets itself at
    every lag, and is no loop.
    """
    floor = _DEPTH * bands.power.max(axis=1, keepdims=True)
    level = decibels(np.maximum(bands.power, floor)).astype(np.float32)
    weight = np.sqrt(bands.power)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    looped = np.zeros(len(level[::_STRIDE]), bool)
    best_lag, most = 0, 0
    shortest, longest = (round(seconds * SAMPLE_RATE / _HOP) for seconds in (SHORTEST, LONGEST))
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
    return float(looped.mean()), best_lag * _HOP / SAMPLE_RATE


def _likely(level: npt.NDArray[np.float32], first: int) -> list[int]:
    """Lags from `first` on, up to half of the clip, at which its levels are most alike: peaks of autocorrelation."""
    if len(level) // 2 <= first:
        return []
    n_fft = scipy.fft.next_fast_len(2 * len(level), real=True)
    spectra = scipy.fft.rfft(level - level.mean(axis=0), n_fft, axis=0)
    alike = scipy.fft.irfft((spectra.real**2 + spectra.imag**2).sum(axis=1), n_fft)[first - 1 : len(level) // 2 + 1]
    alike /= len(level) - np.arange(first - 1, first - 1 + len(alike))  # frames that have one so long before them
    peaks = find_peaks(alike)[0]
    best = peaks[np.argsort(-alike[peaks], kind="stable")[:_N_LIKELY]]
    return sorted((first - 1 + best).tolist())


def decibels(power: npt.NDArray[Float]) -> npt.NDArray[Float]:
    """Power in dB, not below -120."""
    level: npt.NDArray[Float] = 10 * np.log10(np.maximum(power, _FLOOR))
    return level
