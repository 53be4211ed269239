"""From a clip to its numbers: every ear listens once.

clip -> -23 LUFS -> embeddings, notes, copies, seams, life      clip as it is -> levels, offset
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pipeline.evaluate.copies.finding import Copies, find_copies
from pipeline.evaluate.copies.landmarks import LandmarkIndex
from pipeline.evaluate.distances.embedding import NAMES, Embedding, at_equal_loudness, load_embedding
from pipeline.evaluate.distances.sets import Vectors
from pipeline.evaluate.entrants.cuts import Cut
from pipeline.evaluate.networks.musicnn import PIANO, Musicnn
from pipeline.evaluate.notes.statistics import CHORD, NoteStatistics, measure_notes
from pipeline.evaluate.notes.transcribers import Transcriber, load_transcriber
from pipeline.evaluate.report.data import Mark
from pipeline.evaluate.sound.levels import Levels, measure_levels
from pipeline.evaluate.sound.life import Life, measure_life
from pipeline.evaluate.sound.seams import Seams, measure_seams


@dataclass(frozen=True, eq=False)
class Measured:
    """What the ears say of a clip.

    Attributes:
        cut: which clip.
        seconds: its length.
        vectors: of each embedding, (n_vectors, dim).
        piano: the probability of musicnn's tag, 0 to 1.
        notes: see there.
        gaps: times from one onset to the next, chords counted once, in seconds, (n_gaps,).
        copies: None where it is not known what was learned from.
        seams: see there.
        life: see there.
        levels: as the clip is; all else is measured at equal loudness.
        dc_offset: mean of the samples, full scale at 1, as the clip is.
    """

    cut: Cut
    seconds: float
    vectors: Mapping[str, Vectors]
    piano: float
    notes: NoteStatistics
    gaps: npt.NDArray[np.float64]
    copies: Copies | None
    seams: Seams
    life: Life
    levels: Levels
    dc_offset: float


class Ears:
    """All that listens, loaded once.

    Args:
        thorough: whether notes are heard by the thorough transcriber.

    Raises:
        EvaluationError: weights cannot be had; see `weights.obtain`.
    """

    def __init__(self, *, thorough: bool = False) -> None:
        self.embeddings: dict[str, Embedding] = {name: load_embedding(name) for name in NAMES}
        self.transcriber: Transcriber = load_transcriber(thorough=thorough)

    @property
    def least_seconds(self) -> float:
        """The shortest clip that all can hear."""
        return max(embedding.seconds for embedding in self.embeddings.values())

    def measure(self, cut: Cut, index: LandmarkIndex | None) -> Measured:
        """Listen to a clip.

        Args:
            cut: the clip.
            index: of what its model learned from, if that is known.
        """
        waveform = cut.read()
        level = at_equal_loudness(waveform)
        levels = measure_levels(waveform)
        vectors = {name: embedding.embed(level) for name, embedding in self.embeddings.items()}
        heard = self.transcriber.transcribe(level)
        gaps = np.diff(heard.onsets)
        return Measured(
            cut=cut,
            seconds=levels.seconds,
            vectors=vectors,
            piano=self._piano(vectors["musicnn"]),
            notes=measure_notes(heard),
            gaps=gaps[gaps >= CHORD],
            copies=find_copies(index, level, origin=cut.origin) if index else None,
            seams=measure_seams(level),
            life=measure_life(level),
            levels=levels,
            dc_offset=float(np.mean(waveform, dtype=np.float64)),
        )

    def _piano(self, vectors: Vectors) -> float:
        network = self.embeddings["musicnn"].network
        assert isinstance(network, Musicnn)
        return float(network.tags(torch.from_numpy(vectors))[:, PIANO].mean())


# The measures that a single clip has, by their ids in the catalogue. None: this clip has no such number.
PER_CLIP: Mapping[str, Callable[[Measured], float | None]] = {
    "piano": lambda m: 100 * m.piano,
    "notes_per_second": lambda m: m.notes.notes_per_second,
    "polyphony": lambda m: m.notes.polyphony,
    "velocity_spread": lambda m: m.notes.velocity_spread if m.notes.n_notes else None,
    "key_clarity": lambda m: m.notes.key_clarity if m.notes.n_notes else None,
    "median_interval": lambda m: float(np.median(m.gaps)) if len(m.gaps) else None,
    "copied": lambda m: 100 * m.copies.share if m.copies else None,
    "continued": lambda m: 100 * m.copies.continuation_share if m.copies else None,
    "longest_copy": lambda m: _longest(m.copies) if m.copies else None,
    "edge_excess": lambda m: m.seams.edge_excess,
    "edge_z": lambda m: m.seams.edge_z,
    "clicks": lambda m: m.seams.clicks_per_minute,
    "largest_step": lambda m: m.seams.largest_step,
    "dc_offset": lambda m: 100 * abs(m.dc_offset),
    "level_drift": lambda m: m.life.level_drift,
    "collapse": lambda m: 100.0 if m.life.collapse else 0.0,
    "loops": lambda m: 100 * m.life.loop_share,
    "flatness": lambda m: m.life.flatness,
    "flux": lambda m: m.life.flux,
    "loudness": lambda m: m.levels.loudness,
    "true_peak": lambda m: m.levels.true_peak,
    "clipped": lambda m: float(m.levels.n_clipped),
}


def _longest(copies: Copies) -> float:
    return copies.longest.seconds if copies.longest else 0.0


def marks_of(measured: Measured) -> tuple[Mark, ...]:
    """The moments of a clip that are worth listening to, in order of time."""
    life = measured.life
    marks = [Mark("clicks", time, 0.0, "click") for time in measured.seams.clicks]
    for copy in measured.copies.copies if measured.copies else ():
        kind = "continued" if copy.is_continuation else "copied"
        marks.append(Mark(kind, copy.start, copy.seconds, f"{copy.kind} from {copy.recording} @ {copy.source:.2f} s"))
    if life.collapse:
        rest = measured.seconds - life.collapse_at
        marks.append(Mark("collapse", life.collapse_at, rest, f"{life.collapse} from here on"))
    if life.loop_share:
        text = f"{100 * life.loop_share:.0f} % repeats what was {life.loop_period:.2f} s before"
        marks.append(Mark("loops", 0.0, measured.seconds, text))
    return tuple(sorted(marks, key=lambda mark: mark.start))
