"""From the clips' numbers to a system's, with intervals that resample the clips."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from pipeline.evaluation.intervals import around
from pipeline.evaluation.report import Value

N_REPLICATES = 1000

Doubles = npt.NDArray[np.float64]


def mean(numbers: Sequence[float | None], *, seed: int) -> Value:
    """The mean of the numbers that are there; no number if none is. Its interval goes no further than they do."""
    known = [number for number in numbers if number is not None]
    found = quotient([(number, 1.0) for number in known], seed=seed)
    if found.low is None or found.high is None:
        return found
    return Value(found.value, max(found.low, min(known)), min(found.high, max(known)))


def quotient(pairs: Sequence[tuple[float, float]], *, seed: int) -> Value:
    """The sum of the pairs' first numbers over that of their second; no number if the second is 0."""
    if not pairs:
        return Value(None)
    rows = np.array(pairs, np.float64)
    above, below = rows.sum(axis=0)
    if not below > 0.0:
        return Value(None)
    draws = np.random.default_rng(seed).integers(len(rows), size=(N_REPLICATES, len(rows)))
    sums = rows[draws].sum(axis=1)  # (n_replicates, 2)
    some = sums[:, 1] > 0.0
    return _with_interval(float(above / below), sums[some, 0] / sums[some, 1], len(rows))


def ratio_of_means(numbers: Sequence[float], others: Sequence[float], *, seed: int) -> Value:
    """The mean of some over the mean of others; no number if that is 0."""
    rows, other_rows = np.array(numbers), np.array(others)
    if not other_rows.mean() > 0.0:
        return Value(None)
    rng = np.random.default_rng(seed)
    above = rows[rng.integers(len(rows), size=(N_REPLICATES, len(rows)))].mean(axis=1)
    below = other_rows[rng.integers(len(other_rows), size=(N_REPLICATES, len(other_rows)))].mean(axis=1)
    some = below > 0.0
    return _with_interval(float(rows.mean() / other_rows.mean()), above[some] / below[some], len(rows))


def median(clips: Sequence[Doubles], *, seed: int) -> Value:
    """The median of all clips' numbers together; no number if there is none."""
    together = np.concatenate(clips)
    if len(together) == 0:
        return Value(None)
    rng = np.random.default_rng(seed)
    drawn = [np.concatenate([clips[n] for n in rng.integers(len(clips), size=len(clips))]) for _ in range(200)]
    return _with_interval(float(np.median(together)), np.array([np.median(d) for d in drawn if len(d)]), len(clips))


def over_all(numbers: Sequence[float | None], of: Callable[[list[float]], float]) -> Value:
    """One number of all, such as their sum or the largest; there is no interval for it."""
    known = [number for number in numbers if number is not None]
    return Value(of(known)) if known else Value(None)


def _with_interval(value: float, drawn: Doubles, n_clips: int) -> Value:
    if n_clips < 2:
        return Value(value)
    interval = around(value, drawn)
    return Value(value, interval.low, interval.high)
