"""Where a clip may repeat a corpus: landmarks shared at one offset within a second."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.landmarks import DECIMATION, FRAME, N_FFT, Integers, LandmarkIndex, landmarks_of
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.corpus.recording import Recording

# Of planted copies of 0.5 s, 95 in 100 rank among the first 3 in ten seconds if they are verbatim, and 90 in 100 among
# the first 30 if they went through phase recovery.
N_PER_SECOND = 4

_HALF = SAMPLE_RATE // 2 // FRAME  # frames: a cell lasts a second, and one begins every half
_MIN_HITS = 3


@dataclass(frozen=True)
class Candidate:
    """A stretch of a clip that shares landmarks with a recording.

    Attributes:
        recording: which.
        lag: samples from a place in the clip to the like place in the recording; right to a frame.
        start: of the stretch in the clip, in samples.
        stop: its end.
        score: sum of the weights of the shared landmarks.
    """

    recording: Recording
    lag: int
    start: int
    stop: int
    score: float


def find_candidates(index: LandmarkIndex, clip: Waveform) -> list[Candidate]:
    """The likeliest copies in a clip, best first, at most N_PER_SECOND for each second."""
    words, frames = landmarks_of(clip)
    which, corpus_frames, weights = index.find(words)
    offsets, firsts, lasts, scores = _gathered(frames[which], corpus_frames, weights)
    best = np.argsort(-scores, kind="stable")[: max(1, N_PER_SECOND * len(clip) // SAMPLE_RATE)]
    found = []
    for offset, first, last, score in zip(offsets[best], firsts[best], lasts[best], scores[best], strict=True):
        recording, frame = index.locate(int(offset + first))
        lag = (frame - int(first)) * FRAME + FRAME // 2  # the middle of two offsets
        stop = min(int(last) * FRAME + N_FFT * DECIMATION, len(clip))
        found.append(Candidate(recording, lag, int(first) * FRAME, stop, float(score)))
    return found


def _gathered(
    clip_frames: Integers, corpus_frames: Integers, weights: npt.NDArray[np.float64]
) -> tuple[Integers, Integers, Integers, npt.NDArray[np.float64]]:
    """Gather hits by offset and time.

    A copy rarely begins on the grid of frames, nor a passage on that of cells. So two neighbouring offsets count as
    one, a cell lasts two halves, and each hit stands in two pairs of offsets and in two cells.

    Returns:
        of each cell with _MIN_HITS hits or more: the lower of its two offsets, corpus less clip; the first and the
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
