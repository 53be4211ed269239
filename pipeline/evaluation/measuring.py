"""From a clip to its numbers: what the ears hear, and what it has of the corpus that was learned from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.analysis import Heard
from pipeline.evaluation.cache import RememberingEars
from pipeline.evaluation.copies import Copies, find_copies
from pipeline.evaluation.embeddings import at_equal_loudness
from pipeline.evaluation.landmarks import LandmarkIndex
from pipeline.evaluation.notes import NoteStatistics
from pipeline.evaluation.report import Mark
from pipeline.evaluation.segments import Cut


@dataclass(frozen=True, eq=False)
class Measured(Heard):
    """What is known of a clip.

    Attributes:
        cut: which clip.
        copies: None where it is not known what was learned from.
    """

    cut: Cut
    copies: Copies | None


def measure(ears: RememberingEars, cut: Cut, index: LandmarkIndex | None) -> Measured:
    """Measure a clip.

    Args:
        ears: that hear it, or have heard it before.
        cut: the clip.
        index: of what its model learned from, if that is known.
    """
    waveform = cut.read()
    copies = find_copies(index, at_equal_loudness(waveform), origin=cut.origin) if index else None
    return Measured(**vars(ears.hear(waveform)), cut=cut, copies=copies)


# The measures that a single clip's notes have, by their ids in the catalogue. None: this clip has no such number.
PER_CLIPS_NOTES: Mapping[str, Callable[[NoteStatistics], float | None]] = {
    "notes_per_second": lambda notes: notes.notes_per_second,
    "polyphony": lambda notes: notes.polyphony,
    "velocity_spread": lambda notes: notes.velocity_spread if notes.n_notes else None,
    "key_clarity": lambda notes: notes.key_clarity if notes.n_notes else None,
    "median_interval": lambda notes: float(np.median(notes.gaps)) if len(notes.gaps) else None,
    "notes_drift": lambda notes: 100 * notes.n_last / notes.n_first if notes.n_first else None,
}
# Likewise of all else.
PER_CLIP: Mapping[str, Callable[[Measured], float | None]] = {
    "piano": lambda m: 100 * m.piano,
    "copied": lambda m: 100 * m.copies.share if m.copies else None,
    "continued": lambda m: 100 * m.copies.continuation_share if m.copies else None,
    "longest_copy": lambda m: _longest(m.copies) if m.copies else None,
    "edge_excess": lambda m: m.seams.edge_excess,
    "edge_z": lambda m: m.seams.edge_z,
    "clicks": lambda m: m.seams.clicks_per_minute,
    "largest_step": lambda m: m.seams.largest_step,
    "dc_offset": lambda m: 100 * abs(m.dc_offset),
    "glides": lambda m: 100 * m.faults.glide_share,
    "bursts": lambda m: m.faults.bursts_per_minute,
    "level_drift": lambda m: m.life.level_drift,
    "collapse": lambda m: 100.0 if m.life.collapse else 0.0,
    "standstill": lambda m: 100 * (m.life.silent_share + m.life.still_share),
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
    life, faults = measured.life, measured.faults
    marks = [Mark("clicks", time, 0.0, "click") for time in measured.seams.clicks]
    for copy in measured.copies.copies if measured.copies else ():
        kind = "continued" if copy.is_continuation else "copied"
        marks.append(Mark(kind, copy.start, copy.seconds, f"{copy.kind} from {copy.recording} @ {copy.source:.2f} s"))
    marks += [Mark("glides", start, seconds, "a partial glides") for start, seconds in faults.glides]
    marks += [Mark("bursts", time, 0.0, f"a note {excess:.0f} dB too loud") for time, excess in faults.bursts]
    if life.collapse:
        rest = measured.seconds - life.collapse_at
        marks.append(Mark("collapse", life.collapse_at, rest, f"{life.collapse} from here on"))
    if life.loop_share:
        text = f"{100 * life.loop_share:.0f} % repeats what was {life.loop_period:.2f} s before"
        marks.append(Mark("loops", 0.0, measured.seconds, text))
    return tuple(sorted(marks, key=lambda mark: mark.start))
