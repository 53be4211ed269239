"""What every predictor offers, and every head."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Generator, Tensor, nn

from pipeline.settings import Sampling

State = Any  # each predictor's own; constant in size, so a roll-out's memory does not grow


class Predictor(nn.Module, ABC):
    """A model of the next element given the past.

    Sequences are right-padded: of `sequence[i]` only the first `n_targets[i] + 1` elements count.

    Attributes:
        drawn_by: the fields of `Sampling` that `step` looks at.
    """

    drawn_by: tuple[str, ...]

    @abstractmethod
    def fit(self, elements: Iterable[Tensor]) -> None:
        """Learn what is not learned by gradients, such as a codebook, in one pass over the training split, in order.

        A predictor that has no such thing does not look at them.

        Shape:
            each (n_blocks, dim)
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

        Where a predictor tells a distribution, they are the distribution of all elements whatever came before, and
        the one around a repetition.

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
    def step(self, state: State, generator: Generator, sampling: Sampling) -> tuple[Tensor, State]:
        """Give the next element and the state that has read it.

        Shape:
            element (n_clips, dim)
        """


class Head(nn.Module, ABC):
    """The part of a predictor that turns the LSTM's state into a point, a softmax or a density.

    Rows are blocks: `past` what is known before each, the LSTM's state and how lately each key was struck; `previous`
    the element before it; `targets` the element itself.

    Attributes:
        drawn_by: the fields of `Sampling` that `draw` looks at.
    """

    drawn_by: tuple[str, ...] = ()

    def fit(self, elements: Iterable[Tensor]) -> None:
        """See `Predictor.fit`."""

    @abstractmethod
    def loss(self, past: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
        """What training makes small, a mean over rows.

        Shape:
            (n, width), (n, dim), (n, dim) -> ()
        """

    @abstractmethod
    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `Predictor.baselines`.

        Shape:
            (n, dim), (n, dim) -> each ()
        """

    @abstractmethod
    def draw(self, past: Tensor, previous: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """The next element.

        Shape:
            (n_clips, width), (n_clips, dim) -> (n_clips, dim)
        """
