"""How much a number owes to the clips at hand.

Whole clips are drawn anew: what is measured within one depends on the rest of it, and drawing it piece by piece would
promise more certainty than there is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.evaluation import EvaluationError

Set = Sequence[npt.NDArray[np.floating]]  # an array for each clip


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


def bootstrap(
    statistic: Callable[..., float], *sets: Set, seed: int = 0, n_replicates: int = 200, level: float = 0.95
) -> Interval:
    """Find the interval of a statistic of some sets, by drawing each set's clips anew with replacement.

    Clips that are drawn twice make a set poorer, which moves a biased statistic such as the Frechet
    distance in each replicate (Efron & Tibshirani 1993, chapter 10). So the replicates lend their
    spread only: their quantiles, less their mean, are laid around the statistic of the sets themselves.

    Args:
        statistic: of the sets, such as `frechet`, or `squared_mmd` with its bandwidth bound: not `kernel`,
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
    """Lay the spread of a statistic's replicates around its value, as `bootstrap` says; it always holds the value.

    Args:
        value: of the sets themselves.
        replicates: two or more.
        level: the share of the replicates inside the interval.
    """
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(replicates, [tail, 1.0 - tail]) - np.mean(replicates) + value
    return Interval(min(float(low), value), max(float(high), value), float(np.std(replicates, ddof=1)))


def _drawn(clips: Set, rng: np.random.Generator) -> Set:
    return [clips[n] for n in rng.integers(len(clips), size=len(clips))]
