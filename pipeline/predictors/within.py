"""Within a block: a recurrent network that leads from slice to slice.

The stacked LSTM hears once a block. What a head draws next inside a block also depends on what it has just drawn
there, or two slices of one chord would not agree.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.predictors.base import slices_of
from pipeline.predictors.innovations import Innovations
from pipeline.predictors.noise import noisy

N_FITTED = 65_536  # pairs of slices that a head is fitted on: 64 for an entry of a codebook; more change little


class Within(nn.Module):
    """LSTM's state and the slices so far -> a guide to what is new in the next slice.

    A guide is the state of a GRU (Cho et al. 2014) and the slice before, as it is.

    Args:
        width: of the LSTM's state.
        guide: units of the GRU.
        shape: (n_slices, size) of an element.
        noise: see `noisy`.
    """

    def __init__(self, width: int, guide: int, shape: tuple[int, int], noise: float) -> None:
        super().__init__()
        self.shape = shape
        self.noise = noise
        self.guide_size = guide + shape[1]
        self.innovations = Innovations(shape[1])
        self.begin = nn.Linear(width, guide)
        self.hear = nn.Linear(width, guide)
        self.read = nn.Linear(shape[1], guide)
        self.places = nn.Parameter(torch.zeros(shape[0], guide))
        self.gru = nn.GRU(guide, guide, batch_first=True)

    def fit(self, elements: Iterable[Tensor]) -> Tensor:
        """Fit the innovations to elements, and give those that they were fitted on.

        Shape:
            each (n_blocks, dim) -> (n, size)
        """
        slices, before = _neighbours(elements, self.shape)
        if len(slices):
            self.innovations.fit(slices, before)
        innovations: Tensor = self.innovations(slices, before)
        return innovations

    def before(self, previous: Tensor, targets: Tensor) -> Tensor:
        """The slice before each slice of the targets; (n, dim), (n, dim) -> (n, n_slices, size)."""
        last, slices = previous[:, -self.shape[1] :], slices_of(targets, self.shape)
        return torch.cat([last[:, None], slices[:, :-1]], dim=1)

    def forward(self, outputs: Tensor, previous: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Guides to all slices at once, where they are known, and the innovations that they lead to.

        Shape:
            (n, width), (n, dim), (n, dim) -> (n, n_slices, guide_size), (n, n_slices, size)
        """
        before = self.before(previous, targets)
        if self.training:
            before = noisy(before, self.noise)
        heard = self.hear(outputs)[:, None]
        read = F.silu(heard + self.read(before) + self.places)
        states = self.gru(read, self._first(outputs))[0] + heard
        guides = torch.cat([states, before.to(states.dtype)], dim=-1)
        return guides, self.innovations(slices_of(targets, self.shape), before)

    def unroll(self, outputs: Tensor, previous: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        """The next block, slice after slice.

        Args:
            outputs: the LSTM's state, (n_clips, width).
            previous: the block before, (n_clips, dim).
            draw: gives an innovation, (n_clips, size), for a guide, (n_clips, guide_size).

        Returns:
            (n_clips, dim)
        """
        heard, memory = self.hear(outputs), self._first(outputs)
        slices = [previous[:, -self.shape[1] :]]
        for place in self.places:
            before = slices[-1]
            state, memory = self.gru(F.silu(heard + self.read(before) + place)[:, None], memory)
            innovation = draw(torch.cat([state[:, 0] + heard, before], dim=-1))
            slices.append(self.innovations.inverse(innovation, before))
        return torch.cat(slices[1:], dim=-1)

    def _first(self, outputs: Tensor) -> Tensor:
        return torch.tanh(self.begin(outputs))[None].contiguous()


def _neighbours(elements: Iterable[Tensor], shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Slices and those before them, at most N_FITTED, spread evenly: every n-th, n doubled whenever there are too many.

    Shape:
        each (n_blocks, dim) -> (n, size), (n, size)
    """
    kept = [torch.zeros(0, 2 * shape[1])]
    every, n_seen = 1, 0
    for each in elements:
        slices = slices_of(each, shape).flatten(0, -2).float().cpu()
        pairs = torch.cat([slices[1:], slices[:-1]], dim=-1)
        first = -n_seen % every
        kept.append(pairs[first::every])
        n_seen += len(pairs)
        while sum(map(len, kept)) > N_FITTED:
            kept, every = [torch.cat(kept)[::2]], 2 * every
    slices, before = torch.cat(kept).chunk(2, dim=-1)
    return slices, before
