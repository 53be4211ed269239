"""Where a clip repeats the corpus that its model was trained on.

    corpus -> LandmarkIndex, once        clip -> candidates -> matches that are verified -> Copies

The search is blind to gain and to place. A clip that goes on from a prompt as the prompt's own recording does has
learned that recording by heart, or was given a prompt that it was trained on; such copies are counted apart.

A moment may be alike by chance; only a run of likeness at one lag counts.

verbatim        the samples agree, but for a gain
resynthesised   the magnitudes agree, but for a gain, whatever the phases
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pipeline.evaluation import similarity
from pipeline.evaluation.landmarks import FRAME, Candidate, LandmarkIndex, find_candidates
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

Runs = list[tuple[int, int]]  # (start, stop) in samples
Kind = Literal["verbatim", "resynthesised"]

# Thresholds are measured, on candidates from unseen pieces of a sampled piano, the hardest case, and from unseen
# recordings. The best 0.4 s of 912 candidates from recordings correlates 0.75 at most, and planted copies never less
# than 0.999. A sampled piano does play a lone note twice to the sample: 0.2 to 0.9 % of unseen pieces pass. A join of
# 50 ms at each end leaves 0.4 of 0.5 s.
MIN_CORRELATION = 0.98
MIN_VERBATIM = 2 * SAMPLE_RATE // 5  # samples
# 95 in 100 planted copies that went through phase recovery stay below this; so do chords that a sampled piano strikes
# again, for as long as they last: runs of 0.4 s would accuse 3.3 % of unseen pieces of all kinds, runs of 0.7 s 0.4 %,
# and nothing of recordings either way. Runs of 0.7 s accuse 24 % of chorales, which have their chords in common.
MAX_DEVIATION = 0.25  # nepers, 2.2 dB
MIN_RESYNTHESISED = 7 * SAMPLE_RATE // 10  # samples

_CONTEXT = SAMPLE_RATE // 4  # samples looked at around a candidate, doubled for as long as the likeness goes on
_SAME_PLACE = 4 * FRAME  # samples, 46 ms, between two lags: nearer, they are one match, aligned a little otherwise
_NEAR_THE_END = similarity.N_FFT + similarity.HOP


@dataclass(frozen=True)
class Match:
    """A run of a clip that is in a recording.

    Attributes:
        kind: "verbatim" or "resynthesised", see above.
        start: in the clip, in samples.
        stop: likewise.
        lag: samples from a place in the clip to the like place in the recording; exact if verbatim, and otherwise
            right to 3.3 ms.
    """

    kind: Kind
    start: int
    stop: int
    lag: int


def verify(clip: Waveform, candidate: Candidate) -> list[Match]:
    """The copies around a candidate; none, if it is alike by chance."""
    lag = similarity.align_samples(clip, candidate)

    def same_samples(start: int, stop: int) -> Runs:
        alike = similarity.correlation(clip[start:stop], candidate.recording.read(start + lag, stop + lag))
        return _runs(alike >= MIN_CORRELATION, similarity.STEP, start, similarity.WINDOW, MIN_VERBATIM)

    runs = _grown(candidate, len(clip), same_samples)
    if runs:
        return [Match("verbatim", start, stop, lag) for start, stop in runs]
    rough_lag, gain = similarity.align_magnitudes(clip, candidate)

    def same_magnitudes(start: int, stop: int) -> Runs:
        source = candidate.recording.read(start + rough_lag, stop + rough_lag)
        alike = similarity.deviation(clip[start:stop], source, gain) <= MAX_DEVIATION
        middle = similarity.N_FFT // 4  # where a frame's window is above a half
        length = similarity.N_FFT // 2
        return _runs(alike, similarity.HOP, start + middle, length, MIN_RESYNTHESISED)

    runs = _grown(candidate, len(clip), same_magnitudes)
    return [Match("resynthesised", start, stop, rough_lag) for start, stop in runs]


def _grown(candidate: Candidate, n_samples: int, runs_within: Callable[[int, int], Runs]) -> Runs:
    """Look around a candidate, and further for as long as a run reaches the end of what was looked at."""
    context = _CONTEXT
    while True:
        start, stop = max(candidate.start - context, 0), min(candidate.stop + context, n_samples)
        runs = runs_within(start, stop)
        on_left = bool(runs) and start > 0 and runs[0][0] - start < _NEAR_THE_END
        on_right = bool(runs) and stop < n_samples and stop - runs[-1][1] < _NEAR_THE_END
        if not (on_left or on_right):
            return runs
        context *= 2


def _runs(alike: npt.NDArray[np.bool_], step: int, start: int, length: int, shortest: int) -> Runs:
    """Runs that are long enough; window n covers [start + n * step, start + n * step + length)."""
    edges = np.flatnonzero(np.diff(alike.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    spans = [(start + int(first) * step, start + int(last - 1) * step + length) for first, last in edges]
    return [(first, last) for first, last in spans if last - first >= shortest]


@dataclass(frozen=True)
class Origin:
    """Where a clip's prompt is from.

    Attributes:
        recording: its name in the corpus.
        stop: where the prompt ends in it, in samples; the clip goes on from there.
    """

    recording: str
    stop: int


@dataclass(frozen=True)
class Copy:
    """A part of a clip that is in the corpus.

    Attributes:
        kind: "verbatim" or "resynthesised", see above.
        start: in the clip, in seconds.
        seconds: its length.
        recording: the name of the recording that it is in.
        source: its start in the recording, in seconds.
        is_continuation: whether it is what follows the prompt in the prompt's own recording.
    """

    kind: Kind
    start: float
    seconds: float
    recording: str
    source: float
    is_continuation: bool = False

    @property
    def stop(self) -> float:
        """Its end in the clip, in seconds."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Copies:
    """The parts of a clip that are in the corpus.

    Attributes:
        seconds: the clip's length.
        copies: in the order of their beginnings. What the corpus holds twice is there twice.
    """

    seconds: float
    copies: tuple[Copy, ...]

    @property
    def share(self) -> float:
        """The share of the clip that is copied, 0 to 1, the prompt's continuation aside."""
        return _covered(copy for copy in self.copies if not copy.is_continuation) / max(self.seconds, 1e-9)

    @property
    def continuation_share(self) -> float:
        """The share that is the prompt's own continuation, 0 to 1."""
        return _covered(copy for copy in self.copies if copy.is_continuation) / max(self.seconds, 1e-9)

    @property
    def longest(self) -> Copy | None:
        """The longest verbatim copy, the prompt's continuation aside."""
        verbatim = (c for c in self.copies if c.kind == "verbatim" and not c.is_continuation)
        return max(verbatim, key=lambda copy: copy.seconds, default=None)


def find_copies(index: LandmarkIndex, clip: Waveform, *, origin: Origin | None = None) -> Copies:
    """Find the parts of a clip that are in a fingerprinted corpus.

    Verbatim copies of 0.4 s and more are found, resynthesised ones of 0.7 s, where they pass -60 dB re full scale. A
    corpus of a sampled piano holds the like of anything: see above for how much of unseen music is accused, and
    hold a clip's share against that of clips from held-out recordings.

    Args:
        index: the landmarks of the corpus.
        clip: float32 (n_samples,), without its prompt.
        origin: where its prompt is from, if that is in this corpus.
    """
    found: list[tuple[str, Match]] = []
    for candidate in find_candidates(index, clip):
        name = candidate.recording.name
        if not _is_known(found, name, candidate.lag, candidate.start, candidate.stop):
            for match in verify(clip, candidate):
                if not _is_known(found, name, match.lag, match.start, match.stop):
                    found.append((name, match))
    copies = [_copy(name, match, len(clip), origin) for name, match in found]
    return Copies(len(clip) / SAMPLE_RATE, tuple(sorted(copies, key=lambda copy: (copy.start, -copy.seconds))))


def _is_known(found: list[tuple[str, Match]], name: str, lag: int, start: int, stop: int) -> bool:
    """Whether most of it lies in a match from the same place that was found already."""
    return any(
        known == name
        and abs(lag - match.lag) <= _SAME_PLACE
        and 2 * (min(stop, match.stop) - max(start, match.start)) > stop - start
        for known, match in found
    )


def _copy(name: str, match: Match, n_samples: int, origin: Origin | None) -> Copy:
    source = match.start + match.lag
    goes_on = origin is not None and name == origin.recording and -_SAME_PLACE <= source - origin.stop < n_samples
    seconds = (match.stop - match.start) / SAMPLE_RATE
    return Copy(match.kind, match.start / SAMPLE_RATE, seconds, name, source / SAMPLE_RATE, goes_on)


def _covered(copies: Iterable[Copy]) -> float:
    """Seconds of the clip that lie in one copy or more."""
    total, reached = 0.0, 0.0
    for copy in sorted(copies, key=lambda copy: copy.start):
        total += max(copy.stop - max(copy.start, reached), 0.0)
        reached = max(reached, copy.stop)
    return total
