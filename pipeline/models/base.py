"""What every model offers, and every head.

start -> state;  (state, blocks) -> loss, state      training: all lanes, step after step
prime(prompt) -> state;  step(state) -> block, state  rolling out: block after block
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from pipeline.codecs.base import Player, Sound
from pipeline.codecs.events import EventBatch
from pipeline.config import Sampling
from waveforms.notes.events import Notes

# Each model's own NamedTuple of tensors, and of such; constant in size, so a roll-out's memory does not grow. The first
# dimension of every tensor counts the sequences.
State = Any


class Latents(NamedTuple):
    """Blocks as a model reads them.

    Attributes:
        sound: of all rows, or of the first ones where the others are notes alone.
        events: of all rows; None where the codec reads no notes.
    """

    sound: Sound
    events: EventBatch | None

    @property
    def n_rows(self) -> int:
        """How many sequences."""
        return len(self.sound.latent) if self.events is None else len(self.events.ends)


class Block(NamedTuple):
    """One block of every row, as it was sampled.

    Attributes:
        sound: (n_rows, 1, ...).
        notes: that begin in it, of each row, in seconds from the first block of all.
    """

    sound: Sound
    notes: Sequence[Notes]


class Part(NamedTuple):
    """A part of a loss.

    Attributes:
        sum: over all that it counts, ().
        number: how much that is.
        weight: of the mean in the loss.
    """

    sum: Tensor
    number: int
    weight: float = 1.0


Losses = dict[str, Part]  # by the names under which they are reported


def total_of(losses: Losses) -> Tensor:
    """The loss: the parts' means, weighted."""
    return torch.stack([part.weight * part.sum / max(part.number, 1) for part in losses.values()]).sum()


class Model(nn.Module, ABC):
    """A model of the next block given the past.

    Attributes:
        sampled_by: the fields of `Sampling` that `step` looks at.
    """

    sampled_by: tuple[str, ...]

    @abstractmethod
    def fit(self, latents: Iterable[Latents]) -> None:
        """Learn what is not learned by gradients, such as a codebook, in one pass over the training split."""

    @abstractmethod
    def start(self, n_rows: int) -> State:
        """The state before the first block."""

    @abstractmethod
    def loss(self, latents: Latents, state: State) -> tuple[Losses, State]:
        """The loss of blocks, each predicted from those before it, and the state after them."""

    @abstractmethod
    def baselines(self, latents: Latents) -> dict[str, Losses]:
        """What `loss` would be for two models that learn nothing: always the `mean`, and `repeat` what was before.

        Where a model tells a distribution, they are the distribution of all blocks whatever came before, and the one
        around a repetition.
        """

    @abstractmethod
    def prime(self, latents: Latents) -> State:
        """Read a prompt."""

    @abstractmethod
    def step(
        self,
        state: State,
        player: Player,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, State]:
        """Sample the next block, and give the state that has read it.

        Args:
            state: before the block.
            player: tells the sound to be expected of notes.
            generator: of every random draw.
            sampling: how daring they are.
            notes: of each row, where they are given and not sampled, in seconds from the first block of all.
        """


class Head(nn.Module, ABC):
    """The part of a model that turns a conditioning vector into a point, a density or a softmax over what comes next.

    Attributes:
        sampled_by: the fields of `Sampling` that `sampler` looks at.
    """

    sampled_by: tuple[str, ...] = ()

    def fit(self, targets: Tensor) -> None:
        """Learn what is not learned by gradients, such as a codebook; (n, dims)."""
        return

    @abstractmethod
    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        """What training makes small, a mean over rows.

        Shape:
            (n, size), (n, dims) -> ()
        """

    @abstractmethod
    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `Model.baselines`.

        Shape:
            (n, dims), (n, dims) -> each ()
        """

    @abstractmethod
    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        """What draws what comes next from its conditioning, (n, size) -> (n, dims), for one slice after another."""


# Makes a head from the sizes of its conditioning and of what it predicts.
HeadMaker = Callable[[int, int], Head]
