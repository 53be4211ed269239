"""Within a block: a recurrent network that leads from slice to slice.

The stacked LSTM hears once a block. What a head draws next inside a block also depends on what it has just drawn
there, or two slices of one chord would not agree.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.predictors.base import slices_of
from pipeline.predictors.noise import noisy


class Within(nn.Module):
    """LSTM's state and the slices so far -> a guide to the next slice (a GRU, Cho et al. 2014).

    Args:
        width: of the LSTM's state.
        guide: numbers in a guide.
        shape: (n_slices, size) of an element.
        noise: see `noisy`.
    """

    def __init__(self, width: int, guide: int, shape: tuple[int, int], noise: float) -> None:
        super().__init__()
        self.shape = shape
        self.noise = noise
        self.begin = nn.Linear(width, guide)
        self.hear = nn.Linear(width, guide)
        self.read = nn.Linear(shape[1], guide)
        self.places = nn.Parameter(torch.zeros(shape[0], guide))
        self.gru = nn.GRU(guide, guide, batch_first=True)

    def before(self, previous: Tensor, targets: Tensor) -> Tensor:
        """The slice before each slice of the targets; (n, dim), (n, dim) -> (n, n_slices, size)."""
        last, slices = previous[:, -self.shape[1] :], slices_of(targets, self.shape)
        return torch.cat([last[:, None], slices[:, :-1]], dim=1)

    def forward(self, outputs: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
        """Guides to all slices at once, where they are known.

        Shape:
            (n, width), (n, dim), (n, dim) -> (n, n_slices, guide)
        """
        before = self.before(previous, targets)
        heard = self.hear(outputs)[:, None]
        if self.training:
            before = noisy(before, self.noise)
        read = F.silu(heard + self.read(before) + self.places)
        guides: Tensor = self.gru(read, self._first(outputs))[0] + heard
        return guides

    def one_by_one(self, outputs: Tensor, previous: Tensor, drawn: list[Tensor]) -> Iterator[Tensor]:
        """The guide to each slice in turn; before the next is asked for, the slice has to be put into `drawn`.

        Shape:
            (n_clips, width), (n_clips, dim) -> (n_clips, guide) each
        """
        heard, memory = self.hear(outputs), self._first(outputs)
        for place in self.places:
            before = drawn[-1] if drawn else previous[:, -self.shape[1] :]
            guide, memory = self.gru(F.silu(heard + self.read(before) + place)[:, None], memory)
            yield guide[:, 0] + heard

    def _first(self, outputs: Tensor) -> Tensor:
        return torch.tanh(self.begin(outputs))[None].contiguous()
