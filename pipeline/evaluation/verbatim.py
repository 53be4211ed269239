"""Two waveforms at one lag: do the samples themselves agree, but for a gain?

Each 50 ms is correlated twice, whole and differentiated, and the lesser counts: differentiated, upper partials and
noise weigh as much as the low tones which a sampled piano plays alike in any piece.
"""

import numpy as np
import numpy.typing as npt
import scipy.fft

from pipeline.evaluation.landmarks import Candidate
from waveforms.audio import Waveform

Floats = npt.NDArray[np.float64]

WINDOW, STEP = 2205, 441  # samples, 50 and 10 ms
SEARCH = 1024  # samples: twice what a candidate's lag may be off
SILENCE = 1e-3  # RMS, -60 dB re full scale: below it nothing is a copy


def align(clip: Waveform, candidate: Candidate) -> int:
    """The lag, to the sample, at which the differentiated waveforms correlate best."""
    query = np.diff(clip[candidate.start : candidate.stop])
    source = candidate.recording.read(candidate.start + candidate.lag - SEARCH, candidate.stop + candidate.lag + SEARCH)
    source = np.diff(source)
    n_fft = scipy.fft.next_fast_len(len(source), real=True)
    product = scipy.fft.rfft(source, n_fft) * np.conj(scipy.fft.rfft(query, n_fft))
    correlation = scipy.fft.irfft(product, n_fft)[: 2 * SEARCH + 1]
    energy = _sums(source**2, len(query), 1)  # without it, the lag that meets the source's loudest note would win
    return candidate.lag - SEARCH + int(np.argmax(correlation / np.sqrt(np.maximum(energy, 1e-9))))


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
