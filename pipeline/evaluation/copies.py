"""Where does a clip repeat the corpus it was trained on?

    corpus -> LandmarkIndex, once        clip -> candidates -> passages that are verified -> Copies

Blind to gain and to place. A clip that goes on from a prompt as the prompt's own recording does has learned that
recording by heart, or was given a prompt it was trained on; that is told apart from borrowing elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.evaluation.candidates import find_candidates
from pipeline.evaluation.landmarks import FRAME, LandmarkIndex
from pipeline.evaluation.passages import Kind, Passage, verify
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform

_SAME_PLACE = 4 * FRAME  # samples, 46 ms, between two lags: nearer, they are one passage, aligned a little otherwise


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
    """A passage of a clip that is in the corpus.

    Attributes:
        kind: "verbatim", the samples are the same but for a gain; or "resynthesised", the spectrogram is.
        start: in the clip, in seconds.
        seconds: its length.
        recording: the name of the one it is in.
        source: where in the recording, in seconds.
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
    """What of a clip is in the corpus.

    Attributes:
        seconds: the clip's length.
        copies: by their beginning. A passage that the corpus holds twice is there twice.
    """

    seconds: float
    copies: tuple[Copy, ...]

    @property
    def share(self) -> float:
        """How much of the clip is copied, 0 to 1, the prompt's continuation aside."""
        return _covered(copy for copy in self.copies if not copy.is_continuation) / max(self.seconds, 1e-9)

    @property
    def verbatim_share(self) -> float:
        """How much is copied sample by sample, 0 to 1, the prompt's continuation aside."""
        verbatim = (c for c in self.copies if c.kind == "verbatim" and not c.is_continuation)
        return _covered(verbatim) / max(self.seconds, 1e-9)

    @property
    def continuation_share(self) -> float:
        """How much is the prompt's own continuation, 0 to 1."""
        return _covered(copy for copy in self.copies if copy.is_continuation) / max(self.seconds, 1e-9)

    @property
    def longest(self) -> Copy | None:
        """The longest verbatim copy, the prompt's continuation aside."""
        verbatim = (c for c in self.copies if c.kind == "verbatim" and not c.is_continuation)
        return max(verbatim, key=lambda copy: copy.seconds, default=None)


def find_copies(index: LandmarkIndex, clip: Waveform, *, origin: Origin | None = None) -> Copies:
    """Find what of a clip is in a fingerprinted corpus.

    Verbatim copies of 0.4 s and more are found, resynthesised ones of 0.7 s, where they pass -60 dB re full scale. A
    corpus of a sampled piano holds the like of anything: see `passages` for how much of unseen music is accused, and
    hold a clip's share against that of clips from held-out recordings.

    Args:
        index: of the corpus.
        clip: float32 (n_samples,), without its prompt.
        origin: of its prompt, if that is from this corpus.
    """
    found: list[tuple[str, Passage]] = []
    for candidate in find_candidates(index, clip):
        name = candidate.recording.name
        if not _is_known(found, name, candidate.lag, candidate.start, candidate.stop):
            for passage in verify(clip, candidate):
                if not _is_known(found, name, passage.lag, passage.start, passage.stop):
                    found.append((name, passage))
    copies = [_copy(name, passage, len(clip), origin) for name, passage in found]
    return Copies(len(clip) / SAMPLE_RATE, tuple(sorted(copies, key=lambda copy: (copy.start, -copy.seconds))))


def _is_known(found: list[tuple[str, Passage]], name: str, lag: int, start: int, stop: int) -> bool:
    """Whether most of a stretch lies in a passage from the same place that was found already."""
    return any(
        known == name
        and abs(lag - passage.lag) <= _SAME_PLACE
        and 2 * (min(stop, passage.stop) - max(start, passage.start)) > stop - start
        for known, passage in found
    )


def _copy(name: str, passage: Passage, n_samples: int, origin: Origin | None) -> Copy:
    source = passage.start + passage.lag
    goes_on = origin is not None and name == origin.recording and -_SAME_PLACE <= source - origin.stop < n_samples
    seconds = (passage.stop - passage.start) / SAMPLE_RATE
    return Copy(passage.kind, passage.start / SAMPLE_RATE, seconds, name, source / SAMPLE_RATE, goes_on)


def _covered(copies: Iterable[Copy]) -> float:
    """Seconds of the clip that lie in one copy or more."""
    total, reached = 0.0, 0.0
    for copy in sorted(copies, key=lambda copy: copy.start):
        total += max(copy.stop - max(copy.start, reached), 0.0)
        reached = max(reached, copy.stop)
    return total
