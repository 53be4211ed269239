"""A corpus as training sequences: which windows of blocks an epoch holds, and how they are read.

A window of length L reads L + 1 blocks and has L targets: each block but the first, predicted from those before it.
The targets of a recording are laid out on a grid of L whose origin is drawn anew for every epoch. So in each epoch
every block of every recording, but its first, is a target exactly once, however short the recording is; windows at
the two ends have fewer targets and are padded.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from waveforms import BLOCK_SIZE
from waveforms.corpus import Corpus, Recording

T = TypeVar("T")

SWEEP_BLOCKS = 256  # 64 s, 11 MB: a stretch long enough that opening files costs nothing
MOST_STRETCHES = 128  # of a sweep, 2.3 hours: means, variances and axes of more are the same


class Window(NamedTuple):
    """A stretch of one recording: `n_targets + 1` blocks from `first` on."""

    recording: int
    first: int
    n_targets: int


class Batch(NamedTuple):
    """Windows as waveforms, right-padded to one length: a batch, or one process's part of it."""

    waveform: Tensor  # (batch, (length + 1) * BLOCK_SIZE + sum(margins))
    n_targets: Tensor  # (batch,)
    n_counted: int  # targets of this part; 0 where it only stands in
    n_in_all: int  # targets of the whole batch

    @property
    def share(self) -> float:
        """The weight of this part's mean in the mean over the whole batch."""
        return self.n_counted / self.n_in_all


class Position(NamedTuple):
    """Where a run stands in its data: batches of earlier epochs, and of this one, are done."""

    epoch: int = 0
    batch: int = 0


def windows(corpus: Corpus, length: int, rng: np.random.Generator | None = None) -> list[Window]:
    """The windows of one epoch, in the corpus's order.

    Args:
        corpus: the recordings.
        length: targets in a full window.
        rng: draws the grid's origin in each recording; without one every grid begins at the first target.
    """
    plan = []
    for index, recording in enumerate(corpus):
        origin = int(rng.integers(length)) if rng else 0
        for start in range(origin - length if origin else 0, recording.n_blocks - 1, length):
            first = max(start, 0)
            plan.append(Window(index, first, min(start + length, recording.n_blocks - 1) - first))
    return plan


def read_blocks(recording: Recording, first: int, n_blocks: int, margins: tuple[int, int]) -> Tensor:
    """Blocks of a recording with the margins that a representation asks for; silence outside the recording.

    Shape:
        (n_blocks * BLOCK_SIZE + sum(margins),)
    """
    before, after = margins
    return torch.from_numpy(recording.read(first * BLOCK_SIZE - before, (first + n_blocks) * BLOCK_SIZE + after))


def read_batch(
    corpus: Corpus, plan: list[Window], length: int, margins: tuple[int, int], *, rank: int = 0, n_ranks: int = 1
) -> Batch:
    """The waveforms of some windows: of those that fall to one process of `n_ranks`.

    Where there are fewer windows than processes, the rest stand in with the first window, which counts nothing there:
    processes that train together have to take every step together.
    """
    part = plan[rank::n_ranks]
    waveforms = [read_blocks(corpus[w.recording], w.first, length + 1, margins) for w in part or plan[:1]]
    return Batch(
        torch.stack(waveforms),
        torch.tensor([w.n_targets for w in part or plan[:1]]),
        n_counted=sum(w.n_targets for w in part),
        n_in_all=sum(w.n_targets for w in plan),
    )


def sweep(corpus: Corpus, margins: tuple[int, int], *, rank: int = 0, n_ranks: int = 1) -> Iterator[Tensor]:
    """A corpus in stretches of at most SWEEP_BLOCKS, in order, for what is fitted; over all processes each once.

    All of a small corpus; of a large one MOST_STRETCHES, spread evenly.
    """
    stretches = sweep_of(corpus)
    for recording, first, n_blocks in stretches[rank::n_ranks]:
        yield read_blocks(recording, first, n_blocks, margins)


def sweep_of(corpus: Corpus) -> list[tuple[Recording, int, int]]:
    """What a sweep reads: recordings, first blocks, numbers of blocks."""
    stretches = [
        (recording, first, min(SWEEP_BLOCKS, recording.n_blocks - first))
        for recording in corpus
        for first in range(0, recording.n_blocks, SWEEP_BLOCKS)
    ]
    return thinned(stretches, MOST_STRETCHES)


def thinned(items: list[T], n_most: int) -> list[T]:
    """At most so many of the items, spread evenly."""
    if len(items) <= n_most:
        return items
    return [items[i * len(items) // n_most] for i in range(n_most)]


def batches(
    corpus: Corpus,
    length: int,
    batch_size: int,
    margins: tuple[int, int],
    *,
    seed: int,
    start: Position = Position(),  # noqa: B008 - immutable
    rank: int = 0,
    n_ranks: int = 1,
) -> Iterator[tuple[Batch, Position]]:
    """Shuffled batches without end, or one process's part of each, with the position after it.

    What comes depends on `seed` and the position alone, so a run goes on where it stopped as if it never had; and
    the parts of all processes are together the batch that one alone would have.
    """
    epoch, done = start
    while True:
        rng = np.random.default_rng([seed, epoch])
        plan = windows(corpus, length, rng)
        order = rng.permutation(len(plan))
        for batch, at in list(enumerate(range(0, len(plan), batch_size)))[done:]:
            chosen = [plan[i] for i in order[at : at + batch_size]]
            last = at + batch_size >= len(plan)
            after = Position(epoch + 1, 0) if last else Position(epoch, batch + 1)
            yield read_batch(corpus, chosen, length, margins, rank=rank, n_ranks=n_ranks), after
        epoch, done = epoch + 1, 0


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """The same items, each fetched by one worker thread while the one before it is used."""
    with ThreadPoolExecutor(1) as worker:
        pending = worker.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = worker.submit(next, items, None)
            yield item
