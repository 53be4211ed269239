"""A corpus as training sequences: which windows of blocks an epoch holds, and how they are read.

Recordings follow one another, as on a record, in an order drawn anew for every epoch. A window of length L reads
L + 1 blocks of that stream and has L targets: each block but the first, predicted from those before it. Windows lie on
a grid of L whose origin is drawn too, so in each epoch every block, but the stream's first, is a target exactly once.
The windows at the stream's two ends have fewer targets and are padded.

A window that ran over no end would show how pieces end and never what comes then: a roll-out would fall silent for good
when its piece was over.
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


class Span(NamedTuple):
    """`n_blocks` of one recording, from block `first` on."""

    recording: int
    first: int
    n_blocks: int


class Window(NamedTuple):
    """Spans that follow one another; all blocks but the first are targets."""

    spans: tuple[Span, ...]

    @property
    def n_targets(self) -> int:
        """Blocks to be predicted."""
        return sum(span.n_blocks for span in self.spans) - 1


class Batch(NamedTuple):
    """Windows as waveforms, right-padded to one length: a batch, or one process's part of it.

    They are put together by who uses them: what a thread like `prefetch` takes in one large piece, glibc returns to the
    system every time (`pipeline.memory`).
    """

    waveforms: list[Tensor]  # each ((length + 1) * BLOCK_SIZE + sum(margins),)
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
    """The windows of one epoch, in the order of its stream.

    Args:
        corpus: the recordings.
        length: targets in a full window.
        rng: draws the recordings' order and the grid's origin; without one they follow as they lie in the corpus, and
            the grid begins at the first target.
    """
    order = rng.permutation(len(corpus)).tolist() if rng else range(len(corpus))
    origin = int(rng.integers(length)) if rng else 0
    starts = np.cumsum([0] + [corpus[index].n_blocks for index in order])
    last = int(starts[-1]) - 1  # of the stream's blocks
    plan = []
    for at in range(origin - length if origin else 0, last, length):
        first, end = max(at, 0), min(at + length, last) + 1
        places = range(int(np.searchsorted(starts, first, "right")) - 1, int(np.searchsorted(starts, end)))
        plan.append(Window(tuple(_span(order[n], first - starts[n], end - starts[n], corpus) for n in places)))
    return plan


def _span(recording: int, first: int, end: int, corpus: Corpus) -> Span:
    """The part of a stretch that lies in a recording; places count from the recording's first block."""
    first, end = max(int(first), 0), min(int(end), corpus[recording].n_blocks)
    return Span(recording, first, end - first)


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
    waveforms = [_read_window(corpus, window, length, margins) for window in part or plan[:1]]
    return Batch(
        waveforms,
        torch.tensor([w.n_targets for w in part or plan[:1]]),
        n_counted=sum(w.n_targets for w in part),
        n_in_all=sum(w.n_targets for w in plan),
    )


def _read_window(corpus: Corpus, window: Window, length: int, margins: tuple[int, int]) -> Tensor:
    """A window's waveform, padded to `length` targets with what follows its last block.

    By numpy alone: this runs in a thread of its own, and a thread that asks torch for a large copy gets helpers of its
    own, too. OpenMP, seeing more threads than cores, then lets those that compute sleep between any two operations.
    """
    n_left, waveforms = length + 1, []
    for n, span in enumerate(window.spans, start=1):
        is_last = n == len(window.spans)
        n_blocks = n_left if is_last else span.n_blocks
        edges = (margins[0] if n == 1 else 0, margins[1] if is_last else 0)
        waveforms.append(read_blocks(corpus[span.recording], span.first, n_blocks, edges).numpy())
        n_left -= n_blocks
    return torch.from_numpy(np.concatenate(waveforms))


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
