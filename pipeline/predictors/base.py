"""What every predictor offers."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Generator, Tensor, nn

State = Any  # each predictor's own; constant in size, so a roll-out's memory does not grow


class Predictor(nn.Module, ABC):
    """A model of the next element given the past.

    Sequences are right-padded: of `sequence[i]` only the first `n_targets[i] + 1` elements count.
    """

    @abstractmethod
    def loss(self, sequence: Tensor, n_targets: Tensor) -> Tensor:
        """The mean loss over elements 1 ... n_targets, each predicted from those before it.

        Shape:
            (batch, length + 1, dim), (batch,) -> ()
        """

    @abstractmethod
    def baselines(self, sequence: Tensor, n_targets: Tensor) -> dict[str, Tensor]:
        """What `loss` would be for two predictors that learn nothing: always the `mean`, and `repeat` the last.

        Shape:
            (batch, length + 1, dim), (batch,) -> each ()
        """

    @abstractmethod
    def start(self, prompt: Tensor) -> State:
        """Read a prompt.

        Shape:
            (n_clips, n_blocks, dim)
        """

    @abstractmethod
    def step(self, state: State, generator: Generator) -> tuple[Tensor, State]:
        """Give the next element and the state that has read it.

        Shape:
            element (n_clips, dim)
        """
