"""Within a block: a recurrent network that leads from slice to slice.

The stacked LSTM hears once a block. What a head draws next inside a block also depends on what it has just drawn
there, or two slices of one chord would not agree.
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.elements import Shape
from pipeline.predictors.innovations import Innovations
from pipeline.predictors.keys import Keys
from pipeline.predictors.noise import noisy
from pipeline.settings import Sampling

N_FITTED = 65_536  # pairs of slices that a head is fitted on: 64 for an entry of a codebook; more change little


class Within(nn.Module):
    """LSTM's state and the slices so far -> which keys are struck next, and a guide to how that sounds.

    A guide is the state of a GRU (Cho et al. 2014), the sound before, as it is, and the keys now struck.

    Args:
        width: of the LSTM's state.
        guide: units of the GRU.
        shape: of an element.
        noise: see `noisy`.
    """

    def __init__(self, width: int, guide: int, shape: Shape, noise: float) -> None:
        super().__init__()
        self.shape = shape
        self.noise = noise
        self.guide_size = guide + shape.size
        self.innovations = Innovations(shape.size, shape.n_numbers)
        self.keys = Keys(guide + shape.n_numbers, shape.n_keys)
        self.begin = nn.Linear(width, guide)
        self.hear = nn.Linear(width, guide)
        self.read = nn.Linear(shape.size, guide)
        self.places = nn.Parameter(torch.zeros(shape.n_slices, guide))
        self.gru = nn.GRU(guide, guide, batch_first=True)

    def fit(self, elements: Iterable[Tensor]) -> Tensor:
        """Fit the innovations to elements, and give those that they were fitted on.

        Shape:
            each (n_blocks, dim) -> (n, n_numbers)
        """
        slices, before = _neighbours(elements, self.shape)
        sound, known = self.shape.sound(slices), self._known(slices, before)
        if len(slices):
            self.innovations.fit(sound, known)
            self.keys.fit(self.shape.keys(slices))
        innovations: Tensor = self.innovations(sound, known)
        return innovations

    def neighbours(self, previous: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The slices of the targets, and the slice before each.

        Shape:
            (n, dim), (n, dim) -> twice (n, n_slices, size)
        """
        last, slices = self.shape.slices(previous)[:, -1:], self.shape.slices(targets)
        return slices, torch.cat([last, slices[:, :-1]], dim=1)

    def innovations_of(self, slices: Tensor, before: Tensor) -> Tensor:
        """What is new in slices, given those before; twice (..., size) -> (..., n_numbers)."""
        new: Tensor = self.innovations(self.shape.sound(slices), self._known(slices, before))
        return new

    def forward(self, outputs: Tensor, previous: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Guides to all slices at once, where they are known, the innovations that they lead to, and the keys' loss.

        Shape:
            (n, width), (n, dim), (n, dim) -> (n, n_slices, guide_size), (n, n_slices, n_numbers), ()
        """
        slices, before = self.neighbours(previous, targets)
        if self.training:
            sound = noisy(self.shape.sound(before), self.noise)
            before = torch.cat([sound, self.shape.keys(before)], dim=-1)
        heard = self.hear(outputs)[:, None]
        read = F.silu(heard + self.read(before) + self.places)
        states = self.gru(read, self._first(outputs))[0] + heard
        told = torch.cat([states, self.shape.sound(before).to(states.dtype)], dim=-1)
        keys = self.shape.keys(slices)
        guides = torch.cat([told, keys.to(states.dtype)], dim=-1)
        loss = self.keys.loss(told.flatten(0, 1), keys.flatten(0, 1))
        return guides, self.innovations_of(slices, before), loss

    def unroll(
        self,
        outputs: Tensor,
        previous: Tensor,
        draw: Callable[[Tensor], Tensor],
        generator: Generator,
        sampling: Sampling,
    ) -> Tensor:
        """The next block, slice after slice.

        Args:
            outputs: the LSTM's state, (n_clips, width).
            previous: the block before, (n_clips, dim).
            draw: gives an innovation, (n_clips, n_numbers), for a guide, (n_clips, guide_size).
            generator: of which keys are struck.
            sampling: how daring that is.

        Returns:
            (n_clips, dim)
        """
        heard, memory = self.hear(outputs), self._first(outputs)
        slices = [self.shape.slices(previous)[:, -1]]
        for place in self.places:
            before = slices[-1]
            state, memory = self.gru(F.silu(heard + self.read(before) + place)[:, None], memory)
            told = torch.cat([state[:, 0] + heard, self.shape.sound(before)], dim=-1)
            keys = self.keys.draw(told, generator, sampling)
            known = torch.cat([self.shape.sound(before), keys], dim=-1)
            sound = self.innovations.inverse(draw(torch.cat([told, keys], dim=-1)), known)
            slices.append(torch.cat([sound, keys], dim=-1))
        return torch.cat(slices[1:], dim=-1)

    def _known(self, slices: Tensor, before: Tensor) -> Tensor:
        """What is known before a slice sounds: the sound before, and the keys now struck."""
        return torch.cat([self.shape.sound(before), self.shape.keys(slices)], dim=-1)

    def _first(self, outputs: Tensor) -> Tensor:
        return torch.tanh(self.begin(outputs))[None].contiguous()


def _neighbours(elements: Iterable[Tensor], shape: Shape) -> tuple[Tensor, Tensor]:
    """Slices and those before them, at most N_FITTED, spread evenly: every n-th, n doubled whenever there are too many.

    Shape:
        each (n_blocks, dim) -> (n, size), (n, size)
    """
    kept = [torch.zeros(0, 2 * shape.size)]
    every, n_seen = 1, 0
    for each in elements:
        slices = shape.slices(each).flatten(0, -2).float().cpu()
        pairs = torch.cat([slices[1:], slices[:-1]], dim=-1)
        first = -n_seen % every
        kept.append(pairs[first::every])
        n_seen += len(pairs)
        while sum(map(len, kept)) > N_FITTED:
            kept, every = [torch.cat(kept)[::2]], 2 * every
    slices, before = torch.cat(kept).chunk(2, dim=-1)
    return slices, before
