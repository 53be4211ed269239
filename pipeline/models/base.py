"""The interface of models and of heads.

init_state(n_rows) -> state
loss(blocks, state) -> losses, state    training: truncated backpropagation through time
prime(blocks) -> state                  a roll-out reads its prompt,
step(state) -> block, state             then samples block after block
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Generator, Tensor, nn
from torch.utils._pytree import tree_map

from pipeline.codecs import Decoder, Latents
from pipeline.codecs.events import EventBatch
from pipeline.config import Sampling
from waveforms.notes.events import Notes

# A model's own NamedTuple of tensors, and of such tuples. The first dimension of every tensor counts the rows, and no
# size depends on time, so a roll-out needs constant memory.
State = TypeVar("State")


def select_rows(state: State, rows: Tensor) -> State:
    """Select rows of a state by their numbers."""
    selected: State = tree_map(lambda tensor: tensor[rows.to(tensor.device)], state)
    return selected


class Blocks(NamedTuple):
    """Blocks as a model reads them.

    Attributes:
        latents: of all rows; where some rows are notes without a recording, of the rows before them.
        events: of all rows; None where the codec reads no notes.
    """

    latents: Latents
    events: EventBatch | None

    @property
    def n_rows(self) -> int:
        """The number of sequences."""
        return len(self.latents.latent) if self.events is None else len(self.events.ends)


class Block(NamedTuple):
    """A sampled block of every row.

    Attributes:
        latents: (n_rows, 1, ...).
        notes: of each row, those that begin in the block, in seconds from the first block of the stream.
    """

    latents: Latents
    notes: Sequence[Notes]


class LossTerm(NamedTuple):
    """A term of a loss.

    Attributes:
        sum: over everything that it counts, ().
        n: how much it counts.
        weight: of its mean in the loss.
    """

    sum: Tensor
    n: int
    weight: float = 1.0


Losses = dict[str, LossTerm]  # by the names under which they are reported


def total_loss(losses: Losses) -> Tensor:
    """Return the weighted sum of the terms' means."""
    return torch.stack([term.weight * term.sum / max(term.n, 1) for term in losses.values()]).sum()


class Model(nn.Module, ABC, Generic[State]):
    """A model of the next block given the previous ones.

    Roll-outs on some CPUs replace every `nn.Linear`, `nn.GRU` and LSTM of a model by its 8-bit counterpart, see
    `pipeline.models.backends.int8`, so `init_state`, `prime` and `step` call these modules and read only their biases.

    Attributes:
        sampled_by: the fields of `Sampling` that `step` reads.
    """

    sampled_by: tuple[str, ...]

    @abstractmethod
    def fit(self, blocks: Iterable[Blocks]) -> None:
        """Fit what gradients do not train, such as a codebook, in one pass over the training split."""

    @abstractmethod
    def init_state(self, n_rows: int) -> State:
        """Return the state before the first block."""

    @abstractmethod
    def loss(self, blocks: Blocks, state: State) -> tuple[Losses, State]:
        """Return the loss of each block given the previous ones (teacher forcing), and the state after all."""

    @abstractmethod
    def baselines(self, blocks: Blocks) -> dict[str, Losses]:
        """Return what `loss` would be for two models without parameters: `mean`, and `repeat` of the previous block.

        Where a model predicts distributions, they are the marginal distribution of all blocks, and a distribution
        around the repetition.
        """

    @abstractmethod
    def prime(self, blocks: Blocks) -> State:
        """Return the state after a prompt."""

    @abstractmethod
    def step(
        self,
        state: State,
        decoder: Decoder,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, State]:
        """Sample the next block, and return it with the state after it.

        Args:
            state: before the block.
            decoder: computes the expected sound of notes.
            generator: of every random number.
            sampling: temperatures and truncation.
            notes: of each row, where the caller prescribes them, in seconds from the first block of the stream.
        """


class Head(nn.Module, ABC):
    """Turns a conditioning vector into a point, a density or a softmax over the next frame.

    Attributes:
        sampled_by: the fields of `Sampling` that `sampler` reads.
    """

    sampled_by: tuple[str, ...] = ()

    @abstractmethod
    def fit(self, targets: Tensor) -> None:
        """Fit what gradients do not train, such as a codebook; (n, dims)."""

    @abstractmethod
    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        """Return the training loss, a mean over rows.

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
        """Return a function that samples a frame given its conditioning vector, (n, size) -> (n, dims)."""


HeadMaker = Callable[[int, int], Head]  # makes a head from the sizes of its conditioning and of its targets
