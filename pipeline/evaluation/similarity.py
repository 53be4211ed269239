"""How alike a clip and a recording are at one lag: by their samples, and by the magnitudes of their partials.

Samples agree where a clip repeats a recording, but for a gain. Each 50 ms is correlated twice, whole and
differentiated, and the lesser counts: differentiated, upper partials and noise weigh as much as the low tones which a
sampled piano plays alike in any piece.

What went through phase recovery has another waveform than what it was made from, and the same spectrogram: there, the
magnitudes of partials rise and fall together.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
from scipy.ndimage import uniform_filter1d

from pipeline.evaluation.landmarks import Candidate
from waveforms.audio import Waveform

Floats = npt.NDArray[np.float64]
Magnitudes = npt.NDArray[np.float32]  # (n_frames, n_bins)

WINDOW, STEP = 2205, 441  # samples, 50 and 10 ms: of correlations
N_FFT, HOP = 2048, 882  # samples, 46 and 20 ms: of magnitudes
SILENCE = 1e-3  # RMS, -60 dB re full scale: below it nothing is a copy

_SEARCH = 1024  # samples: twice what a candidate's lag may be off
_FINE_HOP = HOP // 3  # samples: the lag of spectrograms is found on this grid, so it is off by 3.3 ms at most
_REACH = 2 * _FINE_HOP
_BINS = slice(3, 400)  # 65 Hz to 8.6 kHz
_FLOOR = 10 ** (-50 / 20)  # re a frame's loudest bin: what lies below is noise, and Griffin-Lim makes its own
_N_SMOOTH = 3  # frames averaged
_APART = 10.0  # nepers: said of silence
_HANN = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
_QUIET = np.log(SILENCE * N_FFT * np.sqrt(3 / 16))  # level of a frame of noise at RMS SILENCE


def align_samples(clip: Waveform, candidate: Candidate) -> int:
    """The lag, to the sample, at which the differentiated waveforms correlate best."""
    query = np.diff(clip[candidate.start : candidate.stop])
    first, last = candidate.start + candidate.lag - _SEARCH, candidate.stop + candidate.lag + _SEARCH
    source = np.diff(candidate.recording.read(first, last))
    correlation = scipy.signal.correlate(source, query, "valid", "fft")  # (2 * _SEARCH + 1,)
    energy = _sums(source**2, len(query), 1)  # without it, the lag that meets the source's loudest note would win
    return candidate.lag - _SEARCH + int(np.argmax(correlation / np.sqrt(np.maximum(energy, 1e-9))))


def correlation(query: Waveform, source: Waveform) -> Floats:
    """Normalised correlation in windows of 50 ms, one every 10 ms, the lesser of the two; -1 where there is silence.

    Shape:
        (n_samples,), (n_samples,) -> ((n_samples - WINDOW) // STEP + 1,)
    """
    query_energy, source_energy, whole = _products(query, source)
    sounding = np.minimum(query_energy, source_energy) >= SILENCE**2 * WINDOW
    differences = np.diff(query, prepend=query[:1]), np.diff(source, prepend=source[:1])
    lesser = np.minimum(_normalised(query_energy, source_energy, whole), _normalised(*_products(*differences)))
    verdict: Floats = np.where(sounding, lesser, -1.0)
    return verdict


def align_magnitudes(clip: Waveform, candidate: Candidate) -> tuple[int, float]:
    """The lag in samples, and the clip's gain in nepers, at which the spectrograms are closest."""
    query = _magnitudes(clip[candidate.start : candidate.stop], HOP)
    first, last = candidate.start + candidate.lag - _REACH, candidate.stop + candidate.lag + _REACH
    source = _magnitudes(candidate.recording.read(first, last), _FINE_HOP)
    found = []
    for n in range(2 * _REACH // _FINE_HOP + 1):
        frames = source[n :: HOP // _FINE_HOP][: len(query)]
        gain = float(np.median(_log_magnitude(query) - _log_magnitude(frames)))
        found.append((float(np.median(_distance(query, frames, gain))), n, gain))
    _, n, gain = min(found)
    return candidate.lag - _REACH + n * _FINE_HOP, gain


def deviation(query: Waveform, source: Waveform, gain: float) -> Floats:
    """Mean distance of log magnitudes in nepers, weighted by magnitude, every HOP samples; large where silence is.

    Args:
        query: a part of the clip.
        source: the part of the recording that it is compared with, of the same length.
        gain: scales the source first, in nepers. It is one number for a whole excerpt, so that a note
            which is struck again more softly does not pass.

    Shape:
        (n_samples,), (n_samples,) -> ((n_samples - N_FFT) // HOP + 1,)
    """
    apart = _distance(_magnitudes(query, HOP), _magnitudes(source, HOP), gain)
    smooth: Floats = uniform_filter1d(apart, _N_SMOOTH, mode="nearest")
    return smooth


def _products(query: Waveform, source: Waveform) -> tuple[Floats, Floats, Floats]:
    return _sums(query**2, WINDOW, STEP), _sums(source**2, WINDOW, STEP), _sums(query * source, WINDOW, STEP)


def _normalised(query_energy: Floats, source_energy: Floats, product: Floats) -> Floats:
    normalised: Floats = product / np.sqrt(np.maximum(query_energy * source_energy, 1e-20))
    return normalised


def _sums(values: Waveform, length: int, step: int) -> Floats:
    """Sums over windows of a length, (n,) -> ((n - length) // step + 1,)."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    starts = np.arange(0, len(values) - length + 1, step)
    sums: Floats = total[starts + length] - total[starts]
    return sums


def _magnitudes(waveform: Waveform, hop: int) -> Magnitudes:
    padded = np.pad(waveform, (0, max(N_FFT - len(waveform), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::hop]
    magnitudes: Magnitudes = np.abs(scipy.fft.rfft(frames * _HANN)[:, _BINS])
    return magnitudes


def _log_magnitude(magnitudes: Magnitudes) -> Floats:
    """Logarithm of each frame's magnitude, all bins together."""
    power = np.einsum("ij,ij->i", magnitudes, magnitudes).astype(np.float64)
    log_magnitude: Floats = 0.5 * np.log(power + 1e-20)
    return log_magnitude


def _distance(query: Magnitudes, source: Magnitudes, gain: float) -> Floats:
    scaled = source * np.float32(np.exp(gain))
    weight = query + scaled  # a note that only one of them has weighs in full
    floor = _FLOOR * weight.max(axis=1, keepdims=True) + np.float32(1e-12)
    apart = np.abs(np.log(np.maximum(query, floor) / np.maximum(scaled, floor)))
    mean = np.einsum("ij,ij->i", apart, weight) / (weight.sum(axis=1) + 1e-12)
    return np.where(np.minimum(_log_magnitude(query), _log_magnitude(source)) < _QUIET, _APART, mean).astype(np.float64)
