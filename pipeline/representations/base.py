"""What every representation offers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn


class Decoder(ABC):
    """Elements -> waveform, a few elements at a time, in constant memory."""

    @abstractmethod
    def push(self, elements: Tensor) -> Tensor:
        """Take the next elements, give the samples that they complete.

        Shape:
            (n_clips, n_blocks, dim) -> (n_clips, n_samples)
        """

    @abstractmethod
    def finish(self) -> Tensor:
        """Give the rest, up to the edge of the last block.

        Shape:
            (n_clips, n_samples)
        """


class Representation(nn.Module, ABC):
    """A fitted, invertible map. What was fitted lies in buffers, so it moves and is saved with the module.

    Attributes:
        dim: numbers in an element.
        margins: samples that `transform` needs before the first and after the last block.
    """

    dim: int
    margins: tuple[int, int]

    @abstractmethod
    def fit(self, waveforms: Iterable[Tensor]) -> None:
        """Learn what is to be learned, in one pass over stretches of the training split.

        Shape:
            each (n_blocks * BLOCK_SIZE + sum(margins),)
        """

    @abstractmethod
    def transform(self, waveform: Tensor) -> Tensor:
        """Waveform to elements.

        Shape:
            (..., n_blocks * BLOCK_SIZE + sum(margins)) -> (..., n_blocks, dim)
        """

    @abstractmethod
    def decoder(self) -> Decoder:
        """The inverse of `transform`, as a stream."""
