"""How times are taken, and how much is measured.

What is compared is run alternately, A B A B ..., because the speed of a shared machine drifts.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch

Work = Callable[[], float]  # does it, and returns the seconds that it took
Name = TypeVar("Name")


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        n_rounds: rounds that count; their median is taken.
        n_recordings: recordings of a minute each.
        batches: sequences in an optimiser step.
        clips: {blocks in a roll-out: of how many blocks the peer predicts one}.
        n_clips: clips that are rendered together.
        steps: steps of a real training run.
        hours: hours of a short and of a long corpus, on which memory is measured.
    """

    n_rounds: int
    n_recordings: int
    batches: tuple[int, ...]
    clips: dict[int, int]
    n_clips: int
    steps: int
    hours: tuple[int, int]


FULL = Effort(3, 20, (5, 16, 64), {40: 1, 120: 6, 400: 20}, 32, 20, (3, 12))
QUICK = Effort(1, 4, (16,), {40: 5, 120: 20}, 8, 12, (3, 4))


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
    """Return the median time of each work, over `n_rounds` rounds after one that does not count."""
    rounds = [[work() for work in works.values()] for _ in range(n_rounds + 1)]
    medians = [statistics.median(times) for times in zip(*rounds[1:], strict=True)]
    return dict(zip(works, medians, strict=True))
