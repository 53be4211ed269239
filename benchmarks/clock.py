"""Times of what is compared, taken in turn, A B A B ..., since the speed of a shared machine drifts."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch

Work = Callable[[], float]  # does it, and tells the seconds that it took
Name = TypeVar("Name")


def timed(work: Callable[[], object]) -> Work:
    """Time a work from outside, until a GPU has done its part too."""

    def timed_work() -> float:
        since = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - since

    return timed_work


def median_seconds(works: Mapping[Name, Work], n_rounds: int) -> dict[Name, float]:
    """The median time of each work, over so many rounds after one that is not counted."""
    rounds = [[work() for work in works.values()] for _ in range(n_rounds + 1)]
    medians = [statistics.median(times) for times in zip(*rounds[1:], strict=True)]
    return dict(zip(works, medians, strict=True))
