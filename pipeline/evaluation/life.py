"""Does a clip stay alive? Its level over time, collapse, loops, and how its spectrum moves.

What is usual differs from corpus to corpus, so each number is to be held against those of reference clips.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.bands import HOP, Bands, decibels, in_bands
from pipeline.evaluation.loops import find_loops
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.dsp.blocks import BLOCK_SIZE

Collapse = Literal["silence", "drone", "buzz"]
Floats = npt.NDArray[np.floating]
Flags = npt.NDArray[np.bool_]

SILENCE = -60.0  # dB re full scale
# dB: how much a band's level varies in 2 s. Of clean piano 99 % of clips never come below 1.5, as all notes decay;
# steady noise has 0.55, a drone and a repeated block none.
STILL = 1.0
# Geometric over arithmetic mean of power. Clean piano stays below 0.003; noise has 0.56.
NOISY = 0.1

_FRAMES_PER_BLOCK = BLOCK_SIZE // HOP  # 15
_N_STILL = 8  # blocks, 2 s
_N_APART = 3  # frames, 50 ms: from one spectrum to the next, for the flux
_AUDIBLE = 50.0  # dB: bands further below the loudest one are left out


@dataclass(frozen=True)
class Life:
    """How a clip moves.

    Attributes:
        seconds: its length.
        levels: RMS of each whole block, in dB re full scale (a sine of amplitude 1 has -3), not below -120.
        level: RMS of the whole, likewise.
        level_range: from the 5th to the 95th percentile of the levels, in dB.
        level_drift: the last third's RMS over the first third's, in dB.
        silent_share: how much of it, 0 to 1, lies below SILENCE.
        still_share: how much, 0 to 1, sounds on without change for 2 s and more.
        collapse: what the clip ends in, if it ends in 2 s or more of that.
        collapse_at: when that begins, in seconds; the clip's length if it does not.
        loop_share: how much of it, 0 to 1, repeats an earlier second or more.
        loop_period: in seconds, at which most of that repeats; 0 if nothing does.
        flatness: median of the spectral flatness of what sounds, 0 (a tone) to 1; noise has 0.56.
        flux: median change of what sounds in 50 ms: half the absolute difference of two magnitude spectra of sum 1,
            0 (the same) to 1 (nothing in common).
    """

    seconds: float
    levels: tuple[float, ...]
    level: float
    level_range: float
    level_drift: float
    silent_share: float
    still_share: float
    collapse: Collapse | None
    collapse_at: float
    loop_share: float
    loop_period: float
    flatness: float
    flux: float


def measure_life(clip: Waveform) -> Life:
    """Look at a clip's life.

    Args:
        clip: float32 (n_samples,).

    Raises:
        ValueError: the clip is shorter than a block.
    """
    if len(clip) < BLOCK_SIZE:
        raise ValueError(f"a clip must have {BLOCK_SIZE} samples or more and not {len(clip)}")
    n_blocks = len(clip) // BLOCK_SIZE
    squares = clip[: n_blocks * BLOCK_SIZE].astype(np.float64).reshape(n_blocks, BLOCK_SIZE) ** 2
    powers = squares.mean(axis=1)
    levels = decibels(powers)
    bands = in_bands(clip[: n_blocks * BLOCK_SIZE])
    silent = levels < SILENCE
    still = _still(bands, silent)
    alive = _of_frames(~(silent | still), len(bands.power))
    sounding = _of_frames(~silent, len(bands.power))
    kind, n_alive = _collapse(silent, still, bands.flatness)
    loop_share, loop_period = find_loops(bands, alive)
    third = max(n_blocks // 3, 1)
    return Life(
        seconds=len(clip) / SAMPLE_RATE,
        levels=tuple(levels.tolist()),
        level=float(decibels(powers.mean())),
        level_range=float(np.subtract(*np.percentile(levels, [95, 5]))),
        level_drift=float(decibels(powers[-third:].mean()) - decibels(powers[:third].mean())),
        silent_share=float(silent.mean()),
        still_share=float(still.mean()),
        collapse=kind,
        collapse_at=n_alive * BLOCK_SIZE / SAMPLE_RATE if kind else len(clip) / SAMPLE_RATE,
        loop_share=loop_share,
        loop_period=loop_period,
        flatness=float(np.median(bands.flatness[sounding])) if sounding.any() else 0.0,
        flux=_flux(bands, sounding),
    )


def _still(bands: Bands, silent: Flags) -> Flags:
    """Which blocks lie in 2 s that sound and do not change, (n_blocks,)."""
    n_blocks = len(silent)
    whole = bands.power[: n_blocks * _FRAMES_PER_BLOCK].reshape(n_blocks, _FRAMES_PER_BLOCK, -1)
    levels = decibels(whole[:, 2:-2].mean(axis=1))  # (n_blocks, N_BANDS), of frames that lie in the block alone
    still = np.zeros(n_blocks, bool)
    for first in range(n_blocks - _N_STILL + 1):
        window = slice(first, first + _N_STILL)
        mean = levels[window].mean(axis=0)
        motion = levels[window, mean > mean.max() - _AUDIBLE].std(axis=0).mean()
        if motion < STILL and not silent[window].any():
            still[window] = True
    return still


def _collapse(silent: Flags, still: Flags, flatness: Floats) -> tuple[Collapse | None, int]:
    """What a clip ends in, and how many blocks live before."""
    living = np.flatnonzero(~(silent | still))
    n_alive = int(living[-1]) + 1 if len(living) else 0
    if len(silent) - n_alive < _N_STILL:
        return None, len(silent)
    if silent[n_alive:].mean() > 0.5:
        return "silence", n_alive
    noisy = np.median(flatness[n_alive * _FRAMES_PER_BLOCK :]) > NOISY
    return ("buzz" if noisy else "drone"), n_alive


def _flux(bands: Bands, sounding: Flags) -> float:
    magnitude = np.sqrt(bands.power)
    magnitude /= np.maximum(magnitude.sum(axis=1, keepdims=True), 1e-12)
    change = np.abs(magnitude[_N_APART:] - magnitude[:-_N_APART]).sum(axis=1) / 2
    both = sounding[_N_APART:] & sounding[:-_N_APART]
    return float(np.median(change[both])) if both.any() else 0.0


def _of_frames(blocks: Flags, n_frames: int) -> Flags:
    """What is said of each block, said of each frame; the last frame is centred on the clip's end."""
    return np.pad(np.repeat(blocks, _FRAMES_PER_BLOCK), (0, n_frames), mode="edge")[:n_frames]
