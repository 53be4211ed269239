"""Landmark fingerprints: pairs of spectral peaks, and the index of where a corpus has them.

    waveform -> 11025 Hz -> short-time spectrum -> local maxima -> pairs of neighbouring maxima -> (landmark, frame)

After Wang, "An industrial-strength audio search algorithm" (ISMIR 2003). A landmark is two pitches and the time
between them, so it knows neither gain nor place, and it survives a change of all phases. One alone means little; many
within a second, at one offset between clip and corpus, are a candidate, which `copies` then verifies.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.fft
import scipy.signal
from scipy.ndimage import maximum_filter1d

from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.corpus import Corpus
from waveforms.corpus.corpus import Progress
from waveforms.corpus.recording import Recording

Integers = npt.NDArray[np.int64]

DECIMATION = 4  # to 11025 Hz: a piano's partials above 5 kHz say nothing that those below do not
N_FFT = 1024  # of the decimated waveform: 93 ms, 10.8 Hz a bin
HOP = 128  # 11.6 ms
FRAME = HOP * DECIMATION  # 512 samples at 44.1 kHz from one frame to the next
N_BINS = N_FFT // 2  # the topmost is left out, so that a bin needs 9 bits
PIECE = 5168 * FRAME  # one minute: a recording is read piece by piece

_REACH_TIME, _REACH_PITCH = 6, 6  # frames, bins: a peak tops all within reach; about 70 a second remain
_DEPTH = 60.0  # dB: a peak lies no further below the loudest of its frame
_FANOUT = 4  # pairs a peak may begin
_ZONE_TIME, _ZONE_PITCH = 32, 64  # a partner comes 1 to 31 frames later, fewer than 64 bins away: 5 and 7 bits
_MOST = 300  # places: a landmark that the corpus has more often says nothing, and would cost hours of it dearly
_FRAME_BITS = 32  # of an index entry: 14 000 hours of frames

# 95 in 100 planted verbatim copies of 0.5 s rank among the first 3 candidates in ten seconds, and 90 in 100 that went
# through phase recovery among the first 30.
N_PER_SECOND = 4  # candidates
_HALF = SAMPLE_RATE // 2 // FRAME  # frames: a cell lasts a second, and one begins every half
_MIN_HITS = 3  # in a cell


def peaks_of(waveform: Waveform) -> tuple[Integers, Integers]:
    """Frames and bins of the local maxima of a waveform's spectrogram, by frame, then by bin.

    Frame n begins at sample n * FRAME; frames that are not whole are not looked at.

    Shape:
        (n_samples,) -> (n_peaks,), (n_peaks,)
    """
    decimated = scipy.signal.resample_poly(waveform, 1, DECIMATION).astype(np.float32)
    if len(decimated) < N_FFT:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    frames = np.lib.stride_tricks.sliding_window_view(decimated, N_FFT)[::HOP]
    window = scipy.signal.windows.hann(N_FFT, sym=False).astype(np.float32)
    spectra = np.abs(scipy.fft.rfft(frames * window)[:, :N_BINS])  # (n_frames, N_BINS)
    around = maximum_filter1d(spectra, 2 * _REACH_PITCH + 1, axis=1, mode="constant")
    around = maximum_filter1d(around, 2 * _REACH_TIME + 1, axis=0, mode="constant")
    floor = spectra.max(axis=1, keepdims=True) * 10 ** (-_DEPTH / 20)
    times, pitches = np.nonzero((spectra == around) & (spectra > floor))
    return times.astype(np.int64), pitches.astype(np.int64)


def landmarks_of(waveform: Waveform) -> tuple[Integers, Integers]:
    """The landmarks of a waveform and the frames in which they begin.

    Shape:
        (n_samples,) -> (n_landmarks,), (n_landmarks,)
    """
    times, pitches = peaks_of(waveform)
    begun = np.zeros(len(times), np.int64)  # pairs that each peak has begun
    found: list[tuple[Integers, Integers]] = [(begun[:0], begun[:0])]
    for ahead in range(1, 24):  # further ahead in the list, the zone has ended nearly always
        if ahead >= len(times):
            break
        gap, leap = times[ahead:] - times[:-ahead], pitches[ahead:] - pitches[:-ahead]
        paired = (gap > 0) & (gap < _ZONE_TIME) & (np.abs(leap) < _ZONE_PITCH) & (begun[:-ahead] < _FANOUT)
        begun[:-ahead] += paired
        word = (pitches[:-ahead] << 12) | ((leap + _ZONE_PITCH) << 5) | gap
        found.append((word[paired], times[:-ahead][paired]))
    return np.concatenate([word for word, _ in found]), np.concatenate([time for _, time in found])


class LandmarkIndex:
    """Where a corpus has which landmarks; 8 bytes each, 9 to 13 MB for an hour of piano.

    Attributes:
        corpus: what was fingerprinted.
    """

    def __init__(self, corpus: Corpus, entries: npt.NDArray[np.uint64], first_frames: Integers) -> None:
        self.corpus = corpus
        self._entries = entries  # landmark << 32 | frame, sorted
        self._first_frames = first_frames  # of each recording, in the row of all recordings' frames

    @classmethod
    def of(cls, corpus: Corpus, *, progress: Progress | None = None) -> Self:
        """Fingerprint a corpus; `progress` is called with (recordings done, recordings in all) after each."""
        parts, first_frames, n_frames = [], [], 0
        for n_done, recording in enumerate(corpus, start=1):
            first_frames.append(n_frames)
            for words, frames in _landmarks_in(recording):
                parts.append((words << _FRAME_BITS | (frames + n_frames)).astype(np.uint64))
            n_frames += recording.n_samples // FRAME + 1
            if progress:
                progress(n_done, len(corpus))
        entries = np.concatenate(parts)
        entries.sort()
        return cls(corpus, entries, np.array(first_frames, np.int64))

    def find(self, words: Integers) -> tuple[Integers, Integers, npt.NDArray[np.float64]]:
        """Look landmarks up.

        Returns:
            for each hit the index of its landmark in `words`, the corpus's frame, and its weight, one over the square
            root of how often the corpus has that landmark. (Counting hits ranks a planted 0.5 s below 5 chance
            likenesses in one clip of twenty, as a sampled piano says the same few things all the time; weighing them,
            below none.) Landmarks that the corpus has in more than 300 places have no hit.

        Shape:
            (n_words,) -> thrice (n_hits,)
        """
        low = np.searchsorted(self._entries, (words << _FRAME_BITS).astype(np.uint64))
        high = np.searchsorted(self._entries, ((words + 1) << _FRAME_BITS).astype(np.uint64))
        counts = np.where(high - low <= _MOST, high - low, 0)
        which = np.repeat(np.arange(len(words)), counts)
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        frames = self._entries[low[which] + within] & np.uint64((1 << _FRAME_BITS) - 1)
        return which, frames.astype(np.int64), 1 / np.sqrt(counts[which])

    def locate(self, frame: int) -> tuple[Recording, int]:
        """The recording that holds a frame of the corpus (the nearest, if none does), and where it begins in it."""
        number = max(int(np.searchsorted(self._first_frames, frame, side="right")) - 1, 0)
        return self.corpus[number], frame - int(self._first_frames[number])


def _landmarks_in(recording: Recording) -> Iterator[tuple[Integers, Integers]]:
    """Landmarks of a recording and their frames, a piece at a time; pairs across two pieces are lost, one in 200."""
    for start in range(0, recording.n_samples, PIECE):
        stop = min(start + PIECE + N_FFT * DECIMATION, recording.n_samples)
        words, frames = landmarks_of(recording.read(start, stop))
        yield words, frames + start // FRAME


@dataclass(frozen=True)
class Candidate:
    """A stretch of a clip that shares landmarks with a recording.

    Attributes:
        recording: which.
        lag: samples from a place in the clip to the like place in the recording; right to a frame.
        start: of the stretch in the clip, in samples.
        stop: its end.
    """

    recording: Recording
    lag: int
    start: int
    stop: int


def find_candidates(index: LandmarkIndex, clip: Waveform) -> list[Candidate]:
    """The likeliest copies in a clip, best first, at most N_PER_SECOND for each second."""
    words, frames = landmarks_of(clip)
    which, corpus_frames, weights = index.find(words)
    offsets, firsts, lasts, scores = _gathered(frames[which], corpus_frames, weights)
    best = np.argsort(-scores, kind="stable")[: max(1, N_PER_SECOND * len(clip) // SAMPLE_RATE)]
    found = []
    for offset, first, last in zip(offsets[best], firsts[best], lasts[best], strict=True):
        recording, frame = index.locate(int(offset + first))
        lag = (frame - int(first)) * FRAME + FRAME // 2  # the middle of two offsets
        stop = min(int(last) * FRAME + N_FFT * DECIMATION, len(clip))
        found.append(Candidate(recording, lag, int(first) * FRAME, stop))
    return found


def _gathered(
    clip_frames: Integers, corpus_frames: Integers, weights: npt.NDArray[np.float64]
) -> tuple[Integers, Integers, Integers, npt.NDArray[np.float64]]:
    """Gather hits by offset and time.

    A copy rarely begins on the grid of frames, nor a match on that of cells. So two neighbouring offsets count as
    one, a cell lasts two halves, and each hit stands in two pairs of offsets and in two cells.

    Returns:
        for each cell with _MIN_HITS hits or more the lower of its two offsets, corpus less clip; the first and the
        last frame of the clip that have a hit; and the sum of weights; (n_cells,) each.
    """
    offsets = corpus_frames - clip_frames
    lower = np.concatenate([offsets, offsets - 1] * 2)
    halves = np.concatenate([clip_frames // _HALF] * 2 + [clip_frames // _HALF + 1] * 2)  # cell n: halves n - 1 and n
    frames, weights = np.tile(clip_frames, 4), np.tile(weights, 4)
    order = np.lexsort((halves, lower))
    lower, halves, frames, weights = lower[order], halves[order], frames[order], weights[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(lower) != 0) | (np.diff(halves) != 0)
    begins = np.flatnonzero(is_first)
    many = np.diff(begins, append=len(order)) >= _MIN_HITS
    firsts, lasts = np.minimum.reduceat(frames, begins)[many], np.maximum.reduceat(frames, begins)[many]
    return lower[begins[many]], firsts, lasts, np.add.reduceat(weights, begins)[many]
