"""How much is measured: all of it, or a short look."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """How much.

    Attributes:
        n_rounds: counted ones, of which the median is taken.
        n_recordings: of a minute each.
        batches: sequences in an optimiser step.
        clips: blocks in a roll-out, and each so many-th block of it that the peer predicts.
        n_clips: rendered together.
        steps: of a real training run.
        hours: of a short and a long corpus, for the memory.
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
