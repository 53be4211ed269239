"""From the numbers of clips to those of a system: averages, and 95 % intervals by resampling whole clips.

Parts of a clip depend on each other, so resampling them one by one would promise more certainty than there is.

A set with repeated clips is poorer, which moves a biased statistic such as the Frechet distance in each replicate
(Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapter 10). So only the deviations of the replicates are
used: their quantiles, less their mean, lie around the statistic of the clips themselves. None of the intervals of
scipy.stats.bootstrap does that, nor does it resample arrays of unequal lengths.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.report import Value

N_REPLICATES = 1000

Doubles = npt.NDArray[np.float64]
Set = Sequence[npt.NDArray[np.floating]]  # an array for each clip


def with_interval(
    value: float, replicates: Sequence[float] | Doubles, *, least: float = -np.inf, most: float = np.inf
) -> Value:
    """Lay the deviations of a statistic's replicates around its value. The interval always holds the value.

    Args:
        value: the statistic of the clips themselves.
        replicates: two or more.
        least: the least the statistic can be; the interval ends there.
        most: the most likewise.
    """
    low, high = np.quantile(replicates, [0.025, 0.975]) - np.mean(replicates) + value
    value, low, high = (float(np.clip(end, least, most)) for end in (value, min(low, value), max(high, value)))
    return Value(value, low, high)


def bootstrap(
    statistic: Callable[..., float],
    *sets: Set,
    seed: int = 0,
    n_replicates: int = 200,
    least: float = -np.inf,
    most: float = np.inf,
) -> Value:
    """Compute a statistic of some sets, with an interval if every set has two clips or more.

    Args:
        statistic: called with as many sets as are given. It must not be clipped at its bounds, which would hide half
            of its deviations there. Replicates in which it is NaN do not count.
        sets: each is resampled independently.
        seed: seeds the resampling.
        n_replicates: how often to resample.
        least: see `with_interval`.
        most: likewise.
    """
    value = statistic(*sets)
    if min(map(len, sets)) < 2:
        return Value(value)
    rng = np.random.default_rng(seed)
    replicates = [
        statistic(*([clips[n] for n in rng.integers(len(clips), size=len(clips))] for clips in sets))
        for _ in range(n_replicates)
    ]
    return with_interval(value, [each for each in replicates if not np.isnan(each)], least=least, most=most)


def mean(numbers: Sequence[float | None], *, seed: int) -> Value:
    """Average the numbers that are there; no number if none is. The interval ends within them."""
    known = [number for number in numbers if number is not None]
    if not known:
        return Value(None)
    return quotient([(number, 1.0) for number in known], seed=seed, least=min(known), most=max(known))


def quotient(pairs: Sequence[tuple[float, float]], *, seed: int, least: float = -np.inf, most: float = np.inf) -> Value:
    """Divide the sum of the pairs' first numbers by the sum of their second; no number if that is 0."""
    rows = np.array(pairs, np.float64).reshape(-1, 2)
    above, below = rows.sum(axis=0)
    if not below > 0.0:
        return Value(None)
    if len(rows) < 2:
        return Value(float(above / below))
    chosen = np.random.default_rng(seed).integers(len(rows), size=(N_REPLICATES, len(rows)))
    sums = rows[chosen].sum(axis=1)  # (n_replicates, 2)
    sums = sums[sums[:, 1] > 0.0]
    return with_interval(float(above / below), sums[:, 0] / sums[:, 1], least=least, most=most)


def ratio_of_means(numbers: Sequence[float], others: Sequence[float], *, seed: int) -> Value:
    """Divide the mean of some numbers by the mean of others; no number if that is 0."""
    above, below = np.array(numbers), np.array(others)
    if not below.mean() > 0.0:
        return Value(None)
    if len(above) < 2:
        return Value(float(above.mean() / below.mean()))
    rng = np.random.default_rng(seed)
    means, other_means = (
        rows[rng.integers(len(rows), size=(N_REPLICATES, len(rows)))].mean(axis=1) for rows in (above, below)
    )
    some = other_means > 0.0
    return with_interval(float(above.mean() / below.mean()), means[some] / other_means[some])


def median(clips: Sequence[Doubles], *, seed: int) -> Value:
    """Take the median of all clips' numbers together; no number if there is none."""
    return bootstrap(_median, clips, seed=seed) if any(map(len, clips)) else Value(None)


def _median(clips: Set) -> float:
    together = np.concatenate(clips)
    return float(np.median(together)) if len(together) else np.nan


def over_all(numbers: Sequence[float | None], of: Callable[[list[float]], float]) -> Value:
    """Make one number of those that are there, such as their sum or the largest, without an interval."""
    known = [number for number in numbers if number is not None]
    return Value(of(known)) if known else Value(None)
