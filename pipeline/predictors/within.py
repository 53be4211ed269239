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
from pipeline.predictors.traces import n_traces, traces_of
from pipeline.settings import Sampling

N_FITTED = 65_536  # pairs of slices that a head is fitted on: 64 for an entry of a codebook; more change little


class Within(nn.Module):
    """The past and the slices so far -> which keys are struck next, and a guide to how that sounds.

    A guide is the state of a GRU (Cho et al. 2014), the sound before, as it is, how lately each key was struck, and the
    keys now struck. The GRU reads the block before once more, slice by slice: one slice alone, which in a roll-out is
    a draw with its faults, does not tell what in it is sound and what is chance.

    Args:
        width: of what is known of the past: the LSTM's state, then the traces.
        guide: units of the GRU.
        shape: of an element.
        noise: on the slices that are read while training, in innovations at most.
    """

    def __init__(self, width: int, guide: int, shape: Shape, noise: float) -> None:
        super().__init__()
        self.shape = shape
        self.noise = noise
        self.n_traces = n_traces(shape.n_keys)
        self.guide_size = guide + self.n_traces + shape.size
        self.innovations = Innovations(shape.size, shape.n_numbers)
        self.keys = Keys(guide + self.n_traces + shape.n_numbers, shape.n_keys)
        self.begin = nn.Linear(width, guide)
        self.hear = nn.Linear(width, guide)
        self.read = nn.Linear(shape.size, guide)
        self.places = nn.Parameter(torch.zeros(2 * shape.n_slices - 1, guide))  # of what is read, the last not
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

    def forward(self, past: Tensor, previous: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Guides to all slices at once, where they are known, the innovations that they lead to, and the keys' loss.

        Shape:
            (n, width), (n, dim), (n, dim) -> (n, n_slices, guide_size), (n, n_slices, n_numbers), ()
        """
        n_slices = self.shape.n_slices
        slices, before = self.neighbours(previous, targets)
        read = torch.cat([self.shape.slices(previous)[:, :-1], before], dim=1)
        if self.training:
            sound = self.shape.sound(read)
            sound = noisy(sound, self.innovations.noise_like(sound), self.noise)
            read = torch.cat([sound, self.shape.keys(read)], dim=-1)
            before = read[:, -n_slices:]
        keys = self.shape.keys(slices)
        states, _ = self._lead(self.hear(past), read, self.places, self._first(past))
        told = self._told(states[:, -n_slices:], before, traces_of(keys, self._traces(past))[:, :-1])
        guides = torch.cat([told, keys.to(told.dtype)], dim=-1)
        loss = self.keys.loss(told.flatten(0, 1), keys.flatten(0, 1))
        return guides, self.innovations_of(slices, before), loss

    def unroll(
        self,
        past: Tensor,
        previous: Tensor,
        draw: Callable[[Tensor], Tensor],
        generator: Generator,
        sampling: Sampling,
    ) -> Tensor:
        """The next block, slice after slice.

        Args:
            past: what is known of it, (n_clips, width).
            previous: the block before, (n_clips, dim).
            draw: gives an innovation, (n_clips, n_numbers), for a guide, (n_clips, guide_size).
            generator: of which keys are struck.
            sampling: how daring that is.

        Returns:
            (n_clips, dim)
        """
        n_slices, slices = self.shape.n_slices, []
        heard, memory, traces = self.hear(past), self._first(past), self._traces(past)
        read, places = self.shape.slices(previous), self.places[:n_slices]
        for place in range(n_slices, 2 * n_slices):
            states, memory = self._lead(heard, read, places, memory)
            before = read[:, -1]
            told = self._told(states[:, -1], before, traces)
            keys = self.keys.draw(told, generator, sampling)
            known = torch.cat([self.shape.sound(before), keys], dim=-1)
            sound = self.innovations.inverse(draw(torch.cat([told, keys], dim=-1)), known)
            slices.append(torch.cat([sound, keys], dim=-1))
            traces = traces_of(keys[:, None], traces)[:, -1]
            read, places = slices[-1][:, None], self.places[place : place + 1]
        return torch.cat(slices, dim=-1)

    def _lead(self, heard: Tensor, read: Tensor, places: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """What is heard of the past, and the GRU's states after each slice read, as one; and its memory.

        Shape:
            (n, guide), (n, n_read, size), (n_read, guide), (1, n, guide) -> (n, n_read, guide), (1, n, guide)
        """
        heard = heard[:, None]
        states, memory = self.gru(F.silu(heard + self.read(read) + places), memory)
        return states + heard, memory

    def _told(self, states: Tensor, before: Tensor, traces: Tensor) -> Tensor:
        """All that is known before keys are struck; (n, ..., guide), (n, ..., size), (n, ..., n_traces), as one."""
        return torch.cat([states, traces.to(states.dtype), self.shape.sound(before).to(states.dtype)], dim=-1)

    def _traces(self, past: Tensor) -> Tensor:
        return past[:, past.shape[1] - self.n_traces :]

    def _known(self, slices: Tensor, before: Tensor) -> Tensor:
        """What is known before a slice sounds: the sound before, and the keys now struck."""
        return torch.cat([self.shape.sound(before), self.shape.keys(slices)], dim=-1)

    def _first(self, past: Tensor) -> Tensor:
        """The memory of the GRU before it reads; (n, width) -> (1, n, guide)."""
        return torch.tanh(self.begin(past))[None].contiguous()


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
