"""How far a set's notes are from a reference's: Jensen-Shannon distances, with intervals by clip."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import rel_entr

from pipeline.errors import EvaluationError
from pipeline.evaluation.notes import NoteStatistics
from pipeline.evaluation.report import Value
from pipeline.evaluation.statistics import bootstrap

Set = Sequence[NoteStatistics]  # one for each clip

_Doubles = npt.NDArray[np.float64]
_Rows = Sequence[_Doubles]  # one for each clip; their sum is the set's

HISTOGRAMS: Mapping[str, Callable[[NoteStatistics], _Doubles]] = {
    "pitches": lambda clip: clip.pitches,
    "pitch_classes": lambda clip: clip.pitch_classes,
    "onset_intervals": lambda clip: clip.onset_intervals,
    "polyphony": lambda clip: clip.at_once,
    "velocities": lambda clip: clip.velocities,
    "durations": lambda clip: clip.durations,
}


def compare_notes(reference: Set, other: Set, *, seed: int = 0, n_replicates: int = 200) -> dict[str, Value]:
    """Compare a set's notes with a reference's.

    A distance is never 0, not even to other clips of the same music: hold it against that of such clips.

    Args:
        reference: two clips or more.
        other: two clips or more.
        seed: of the intervals.
        n_replicates: of each interval.

    Returns:
        `js_distance` for each of HISTOGRAMS; nothing where the reference has no notes: all sets would be equally far.

    Raises:
        EvaluationError: a set has fewer than two clips.
    """
    if fewest := [len(clips) for clips in (reference, other) if len(clips) < 2]:
        raise EvaluationError(f"notes are compared in two clips or more of each set, and not {min(fewest)}")
    if not any(clip.n_notes for clip in reference):
        return {}
    found = {}
    for name, histogram in HISTOGRAMS.items():
        sets = [[histogram(clip) for clip in clips] for clips in (reference, other)]
        found[name] = bootstrap(_distance, *sets, seed=seed, n_replicates=n_replicates, least=0.0, most=1.0)
    return found


def js_distance(histogram: _Doubles, other: _Doubles) -> float:
    """Return the Jensen-Shannon distance: the root of `js_divergence`. The root is a metric, the divergence is not.

    Endres & Schindelin, "A new metric for probability distributions" (2003).
    """
    return float(np.sqrt(js_divergence(histogram, other)))


def js_divergence(histogram: _Doubles, other: _Doubles) -> float:
    """Return the Jensen-Shannon divergence of two histograms in bits, 0 (proportional) to 1 (nothing in common).

    Lin, "Divergence measures based on the Shannon entropy" (1991), with the base 2. A histogram without
    counts has nothing in common with one that has some, and everything with one like itself.

    Args:
        histogram: counts or weights, none below 0, (n_bins,).
        other: likewise.
    """
    totals = histogram.sum(), other.sum()
    if min(totals) <= 0.0:
        return float(max(totals) > 0.0)
    p, q = histogram / totals[0], other / totals[1]
    middle = (p + q) / 2.0
    nats = (rel_entr(p, middle) + rel_entr(q, middle)).sum() / 2.0
    return float(np.clip(nats / np.log(2.0), 0.0, 1.0))


def _distance(rows: _Rows, others: _Rows) -> float:
    return js_distance(np.sum(rows, axis=0), np.sum(others, axis=0))
