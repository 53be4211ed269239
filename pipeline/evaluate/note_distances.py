"""How far a set's notes are from a reference's: ratios and Jensen-Shannon distances, with intervals by clip."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluate import EvaluationError
from pipeline.evaluate.confidence import Interval, bootstrap
from pipeline.evaluate.notes import NoteStatistics

Set = Sequence[NoteStatistics]  # one for each clip

_Doubles = npt.NDArray[np.float64]
_Rows = Sequence[_Doubles]  # one for each clip; their sum is the set's

# Of each clip what adds up, and what its sum is divided by.
RATIOS: Mapping[str, Callable[[NoteStatistics], tuple[float, float]]] = {
    "notes_per_second": lambda clip: (clip.n_notes, clip.seconds),
    "polyphony": lambda clip: (clip.polyphony * clip.seconds, clip.seconds),
    "velocity_spread": lambda clip: (clip.velocity_spread * clip.n_notes, clip.n_notes),
    "key_clarity": lambda clip: (clip.key_clarity * clip.n_notes, clip.n_notes),
}
HISTOGRAMS: Mapping[str, Callable[[NoteStatistics], _Doubles]] = {
    "pitches": lambda clip: clip.pitches,
    "pitch_classes": lambda clip: clip.pitch_classes,
    "intervals": lambda clip: clip.intervals,
    "at_once": lambda clip: clip.at_once,
}


@dataclass(frozen=True)
class Estimate:
    """A number of two sets.

    Attributes:
        value: of the sets as they are.
        interval: where it lies with other clips of the same kind; see `confidence.bootstrap`.
    """

    value: float
    interval: Interval


@dataclass(frozen=True)
class Usual:
    """How far two draws of one set are apart.

    Attributes:
        median: of many pairs of draws.
        high: their 95th percentile.
    """

    median: float
    high: float


@dataclass(frozen=True)
class NoteDistances:
    """A set against a reference.

    Attributes:
        ratios: the set's number over the reference's, for each of RATIOS; 1 is no difference.
        distances: `js_distance` for each of HISTOGRAMS.
    """

    ratios: dict[str, Estimate]
    distances: dict[str, Estimate]


def compare_notes(reference: Set, other: Set, *, seed: int = 0, n_replicates: int = 200) -> NoteDistances:
    """Compare a set's notes with a reference's.

    A distance is never 0, not even to other clips of the same music: hold it against `usual_distances`.

    Args:
        reference: two clips or more, with notes.
        other: two clips or more.
        seed: of the intervals.
        n_replicates: of each interval.

    Raises:
        EvaluationError: a set has fewer than two clips, or one of the reference's numbers is not above 0.
    """

    def estimated(statistic: Callable[[_Rows, _Rows], float], row: Callable[[NoteStatistics], object]) -> Estimate:
        sets = [[np.array(row(clip), np.float64) for clip in clips] for clips in (reference, other)]
        interval = bootstrap(statistic, *sets, seed=seed, n_replicates=n_replicates)
        return Estimate(statistic(*sets), interval)

    ratios = {name: estimated(_ratio_to(reference, name), row) for name, row in RATIOS.items()}
    return NoteDistances(ratios, {name: estimated(_distance, row) for name, row in HISTOGRAMS.items()})


def usual_distances(reference: Set, n_clips: int, *, seed: int = 0, n_draws: int = 100) -> dict[str, Usual]:
    """Tell how far so many clips of a reference are from the rest of it: no other set need be nearer.

    Args:
        reference: two clips or more. Clips of one recording are more alike than those of two, so this is how near
            other clips of the same recordings are.
        n_clips: as many as the set that is compared has; half of the reference's at most are drawn.
        seed: of the draws.
        n_draws: how many.

    Returns:
        For each of HISTOGRAMS.

    Raises:
        EvaluationError: the reference has fewer than two clips.
    """
    if len(reference) < 2:
        raise EvaluationError(f"a reference must have two clips or more to be parted, and not {len(reference)}")
    n_drawn = min(max(n_clips, 1), len(reference) // 2)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(reference)) for _ in range(n_draws)]
    usual = {}
    for name, histogram in HISTOGRAMS.items():
        rows = np.array([histogram(clip) for clip in reference])
        found = [js_distance(rows[order[:n_drawn]].sum(0), rows[order[n_drawn:]].sum(0)) for order in orders]
        usual[name] = Usual(*np.percentile(found, [50, 95]).tolist())
    return usual


def js_distance(histogram: _Doubles, other: _Doubles) -> float:
    """Tell the Jensen-Shannon distance: the root of `js_divergence`, and a metric, which that is not.

    Endres & Schindelin, "A new metric for probability distributions" (2003).
    """
    return float(np.sqrt(js_divergence(histogram, other)))


def js_divergence(histogram: _Doubles, other: _Doubles) -> float:
    """Tell the Jensen-Shannon divergence of two histograms in bits, 0 (proportional) to 1 (nothing in common).

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
    return float(np.clip((_kullback_leibler(p, middle) + _kullback_leibler(q, middle)) / 2.0, 0.0, 1.0))


def _kullback_leibler(p: _Doubles, q: _Doubles) -> float:
    """In bits; q is above 0 wherever p is."""
    some = p > 0.0
    return float(p[some] @ np.log2(p[some] / q[some]))


def _distance(rows: _Rows, others: _Rows) -> float:
    return js_distance(np.sum(rows, axis=0), np.sum(others, axis=0))


def _ratio_to(reference: Set, name: str) -> Callable[[_Rows, _Rows], float]:
    """Make the statistic of one of RATIOS. Where a draw of the reference has no note, the whole stands in for it."""
    whole = _quotient([np.array(RATIOS[name](clip)) for clip in reference])
    if not whole > 0.0:
        raise EvaluationError(f"the reference must have notes to compare with, and its {name} is {whole:g}")
    return lambda rows, others: _quotient(others) / (_quotient(rows) or whole)


def _quotient(rows: _Rows) -> float:
    """The sum of the rows' first numbers by that of their second; 0 if that is."""
    above, below = np.sum(rows, axis=0) if len(rows) else (0.0, 0.0)
    return float(above / below) if below else 0.0
