"""What a distance would be with clips without end, and how much it owes to the clips at hand.

Both resample whole clips: their vectors depend on one another, and drawing them one by one would
promise more certainty than there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluate import EvaluationError
from pipeline.evaluate.distances import Clips, frechet

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


@dataclass(frozen=True)
class Interval:
    """Where the statistic lies, resampled.

    Attributes:
        low: lower end; of a distance that may be 0, it may lie below.
        high: upper end.
        deviation: standard deviation of the replicates.
    """

    low: float
    high: float
    deviation: float


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


def bootstrap(
    statistic: Callable[..., float], *sets: Clips, seed: int = 0, n_replicates: int = 200, level: float = 0.95
) -> Interval:
    """Find the interval of a statistic of some sets, by drawing each set's clips anew with replacement.

    Clips that are drawn twice make a set poorer, which moves a biased statistic such as the Frechet
    distance in each replicate (Efron & Tibshirani 1993, chapter 10). So the replicates lend their
    spread only: their quantiles, less their mean, are laid around the statistic of the sets themselves.

    Args:
        statistic: of the sets, such as `distances.frechet`, or `squared_mmd` with its bandwidth bound: not `kernel`,
            whose cut at 0 hides half of the spread there.
        sets: of two clips or more each; give the clips of a recording as one where recordings differ much.
        seed: of the draws.
        n_replicates: how often to draw.
        level: the share of the replicates inside the interval.

    Raises:
        EvaluationError: a set has fewer than two clips.
    """
    if min(map(len, sets)) < 2:
        raise EvaluationError(f"an interval needs two clips or more in each set, and not {min(map(len, sets))}")
    rng = np.random.default_rng(seed)
    replicates = [statistic(*(_drawn(clips, rng) for clips in sets)) for _ in range(n_replicates)]
    return around(statistic(*sets), replicates, level=level)


def around(value: float, replicates: Sequence[float] | npt.NDArray[np.float64], *, level: float = 0.95) -> Interval:
    """Lay the spread of a statistic's replicates around its value, as `bootstrap` says.

    Args:
        value: of the sets themselves.
        replicates: two or more.
        level: the share of the replicates inside the interval.
    """
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail]) - np.mean(replicates) + value
    return Interval(float(low), float(high), float(np.std(replicates, ddof=1)))


def _drawn(clips: Clips, rng: np.random.Generator) -> Clips:
    return [clips[n] for n in rng.integers(len(clips), size=len(clips))]
