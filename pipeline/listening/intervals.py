"""How sure a mean of listeners' answers is, where one listener gives many answers and one clip gets many.

Answers of one listener are alike, and so are answers to one item. Counted as independent they would promise more
certainty than there is, so the variance of a mean is taken over both at once, clustered by listener and by item
(Cameron, Gelbach & Miller, "Robust inference with multiway clustering", 2011), and holds for other listeners and other
clips than these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

LEVEL = 0.95  # the share of intervals that hold the truth


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        listener: who gave it.
        item: to which clip or pair.
        value: the rating, or 1 and 0 for preferred and not.
    """

    listener: str
    item: str
    value: float


@dataclass(frozen=True)
class Estimate:
    """A mean of answers with its interval.

    Attributes:
        value: the mean.
        low: lower end, or None where the answers cannot tell: a mean's must be to two items or of two listeners, and
            not all alike.
        high: upper end, likewise.
        n_answers: behind it.
    """

    value: float
    low: float | None
    high: float | None
    n_answers: int


def mean_opinion(answers: Sequence[Answer]) -> Estimate:
    """Estimate the mean rating with a t interval, cut to the scale of 1 to 5."""
    values = np.array([answer.value for answer in answers])
    mean = float(values.mean())
    variance, freedom = _clustered(answers, values)
    if variance == 0.0:
        return Estimate(mean, None, None, len(answers))
    margin = _quantile(freedom) * math.sqrt(variance)
    return Estimate(mean, max(1.0, mean - margin), min(5.0, mean + margin), len(answers))


def share(answers: Sequence[Answer]) -> Estimate:
    """Estimate a share of choices with Wilson's interval (1927).

    It counts as many choices as independent ones would be as sure: the clustered variance says how many, corrected for
    the few clusters that it is known from (Korn & Graubard, "Confidence intervals for proportions with small expected
    number of positive counts estimated from survey data", 1998), but never more than there are.
    """
    values = np.array([answer.value for answer in answers])
    mean, n_answers = float(values.mean()), len(answers)
    variance, freedom = _clustered(answers, values)
    n_effective = float(n_answers)
    if variance > 0.0:
        independent = mean * (1 - mean) / (n_answers - 1)
        n_effective *= min(1.0, independent / variance * (_quantile(n_answers - 1) / _quantile(freedom)) ** 2)
    squared = float(stats.norm.ppf((1 + LEVEL) / 2)) ** 2
    centre = mean + squared / (2 * n_effective)
    margin = math.sqrt(squared * (mean * (1 - mean) / n_effective + squared / (4 * n_effective**2)))
    scale = 1 + squared / n_effective
    return Estimate(mean, max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale), n_answers)


def _clustered(answers: Sequence[Answer], values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The variance of the mean and its degrees of freedom after Satterthwaite (1946).

    Both are 0 where nothing can be told: neither listeners nor items are two, or all answers are alike.
    """
    listeners = _by_cluster([answer.listener for answer in answers], values)
    items = _by_cluster([answer.item for answer in answers], values)
    if min(listeners[1], items[1]) == 0:
        return max(listeners, items)
    # What scatters with neither listener nor item is in both; taken off once, but never below either.
    both = float(np.square(values - values.mean()).sum()) / len(values) ** 2
    variance = max(listeners[0], items[0], listeners[0] + items[0] - both)
    if variance == 0.0:
        return 0.0, 0.0
    return variance, variance**2 / (listeners[0] ** 2 / listeners[1] + items[0] ** 2 / items[1])


def _by_cluster(names: Sequence[str], values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The variance of the mean with answers of one name in a cluster, and its degrees of freedom; 0 for one cluster."""
    _, cluster = np.unique(names, return_inverse=True)
    sums = np.bincount(cluster, weights=values - values.mean())
    n = len(sums)
    if n < 2:
        return 0.0, 0.0
    return n / (n - 1) * float(np.square(sums).sum()) / len(values) ** 2, n - 1.0


def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, freedom))
