"""What a Frechet distance would be with clips without end: subsets of growing size, and where they lead.

Whole clips are drawn: their vectors depend on one another, and drawing them one by one would promise more certainty
than there is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.frechet import frechet
from pipeline.evaluation.sets import Clips

_N_SIZES = 10
_SMALLEST = 0.5  # of the set: further down the line bends, the more so the fewer vectors a dimension has
_MIN_CLIPS = 8


@dataclass(frozen=True)
class Extrapolation:
    """A distance without end of clips, and the line that leads there.

    Attributes:
        distance: where the line meets 1 / n_clips = 0, cut off at 0.
        slope: of the line, distance per (1 / n_clips).
        error: the standard error of that point, as far as the line is one.
        r_squared: the share of the variance that the line explains. Low beside a small error, it says that there
            is no slope to speak of, and nothing to extrapolate. High, it does not promise that the distance is
            right: with fewer vectors than dimensions the line is a curve, and the distance still too great.
        n_clips: sizes of the subsets, (n_sizes,).
        distances: their mean distances, (n_sizes,).
    """

    distance: float
    error: float
    slope: float
    r_squared: float
    n_clips: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]


def frechet_without_end(reference: Clips, other: Clips, *, seed: int = 0, n_draws: int = 16) -> Extrapolation:
    """Extrapolate the Frechet distance to infinitely many clips on both sides.

    Chong & Forsyth, "Effectively unbiased FID and Inception Score and where to find them" (CVPR 2020):
    the bias is near enough to c / n, so subsets of growing size lie on a line in 1 / n. There only the
    generated set shrinks, since its reference is huge; ours is as small as the set itself, so both
    shrink together, and the biases of both are gone at the end of the line.

    Args:
        reference: a set of 8 clips or more.
        other: a set of as many.
        seed: of the subsets.
        n_draws: subsets of each size, whose distances are averaged; all the clips make only one.

    Raises:
        EvaluationError: sets are smaller, or of unequal length.
    """
    n_all = len(reference)
    if len(other) != n_all or n_all < _MIN_CLIPS:
        raise EvaluationError(f"both sets must have one number of clips, {_MIN_CLIPS} or more: {n_all}, {len(other)}")
    rng = np.random.default_rng(seed)
    inverse = np.linspace(1.0 / n_all, 1.0 / (_SMALLEST * n_all), _N_SIZES)  # even steps along the line
    sizes = np.unique(np.rint(1.0 / inverse).astype(np.int64))
    distances = np.array([_mean_frechet(reference, other, int(size), n_draws, rng) for size in sizes])
    (slope, intercept), covariance = np.polyfit(1.0 / sizes, distances, 1, cov=True)
    residual = distances - (intercept + slope / sizes)
    spread = float(np.square(distances - distances.mean()).sum())
    r_squared = 1.0 - float(np.square(residual).sum()) / spread if spread > 0.0 else 1.0
    error = float(np.sqrt(covariance[1, 1]))
    return Extrapolation(max(0.0, float(intercept)), error, float(slope), r_squared, sizes, distances)


def _mean_frechet(reference: Clips, other: Clips, size: int, n_draws: int, rng: np.random.Generator) -> float:
    n_distinct = 1 if size == len(reference) else n_draws
    return float(np.mean([frechet(_some(reference, size, rng), _some(other, size, rng)) for _ in range(n_distinct)]))


def _some(clips: Clips, size: int, rng: np.random.Generator) -> Clips:
    """Draw so many different clips."""
    return [clips[n] for n in rng.choice(len(clips), size, replace=False)]
