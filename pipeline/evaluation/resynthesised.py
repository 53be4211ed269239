"""Two waveforms at one lag: do the magnitudes of their partials rise and fall together, whatever the phases?

What went through phase recovery has another waveform than what it was made from, and the same spectrogram.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.ndimage import uniform_filter1d

from pipeline.evaluation.landmarks import Candidate
from pipeline.evaluation.verbatim import SILENCE
from waveforms.audio import Waveform

Magnitudes = npt.NDArray[np.float32]  # (n_frames, n_bins)
Floats = npt.NDArray[np.float64]

N_FFT, HOP = 2048, 882  # samples, 46 and 20 ms

_FINE_HOP = HOP // 3  # samples: the lag is sought on this grid, so it is off by 3.3 ms at most
_REACH = 2 * _FINE_HOP
_BINS = slice(3, 400)  # 65 Hz to 8.6 kHz
_FLOOR = 10 ** (-50 / 20)  # re a frame's loudest bin: what lies below is noise, and Griffin-Lim makes its own
_N_SMOOTH = 3  # frames averaged
_APART = 10.0  # nepers: said of silence
_HANN = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
_QUIET = np.log(SILENCE * N_FFT * np.sqrt(3 / 16))  # level of a frame of noise at RMS SILENCE


def align(clip: Waveform, candidate: Candidate) -> tuple[int, float]:
    """The lag in samples, and the clip's gain in nepers, at which the spectrograms are closest."""
    query = _magnitudes(clip[candidate.start : candidate.stop], HOP)
    first, last = candidate.start + candidate.lag - _REACH, candidate.stop + candidate.lag + _REACH
    source = _magnitudes(candidate.recording.read(first, last), _FINE_HOP)
    found = []
    for n in range(2 * _REACH // _FINE_HOP + 1):
        frames = source[n :: HOP // _FINE_HOP][: len(query)]
        gain = float(np.median(_level(query) - _level(frames)))
        found.append((float(np.median(_distance(query, frames, gain))), n, gain))
    _, n, gain = min(found)
    return candidate.lag - _REACH + n * _FINE_HOP, gain


def deviation(query: Waveform, source: Waveform, gain: float) -> Floats:
    """Mean distance of log magnitudes in nepers, weighed by magnitude, every HOP samples; large where silence is.

    Args:
        query: of the clip.
        source: what it is compared with, of the same length.
        gain: in nepers, by which the source is turned first. It is one number for a whole passage, so that a note
            which is struck again more softly does not pass.

    Shape:
        (n_samples,), (n_samples,) -> ((n_samples - N_FFT) // HOP + 1,)
    """
    apart = _distance(_magnitudes(query, HOP), _magnitudes(source, HOP), gain)
    smooth: Floats = uniform_filter1d(apart, _N_SMOOTH, mode="nearest")
    return smooth


def _magnitudes(waveform: Waveform, hop: int) -> Magnitudes:
    padded = np.pad(waveform, (0, max(N_FFT - len(waveform), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::hop]
    magnitudes: Magnitudes = np.abs(scipy.fft.rfft(frames * _HANN)[:, _BINS])
    return magnitudes


def _level(magnitudes: Magnitudes) -> Floats:
    """Logarithm of each frame's magnitude, all bins together."""
    power = np.einsum("ij,ij->i", magnitudes, magnitudes).astype(np.float64)
    level: Floats = 0.5 * np.log(power + 1e-20)
    return level


def _distance(query: Magnitudes, source: Magnitudes, gain: float) -> Floats:
    turned = source * np.float32(np.exp(gain))
    weight = query + turned  # a note that only one of them has weighs in full
    floor = _FLOOR * weight.max(axis=1, keepdims=True) + np.float32(1e-12)
    apart = np.abs(np.log(np.maximum(query, floor) / np.maximum(turned, floor)))
    mean = np.einsum("ij,ij->i", apart, weight) / (weight.sum(axis=1) + 1e-12)
    return np.where(np.minimum(_level(query), _level(source)) < _QUIET, _APART, mean).astype(np.float64)
