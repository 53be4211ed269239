"""What every representation offers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from torch import Tensor, nn

from pipeline.elements import Shape

Total = Callable[[Tensor], Tensor]  # sums a tensor over the processes that fit together, in each of them alike


def alone(part: Tensor) -> Tensor:
    """The total of one process by itself."""
    return part


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
        shape: of an element. Over the training split each of its real numbers has a mean of 0.
        margins: samples that `transform` needs before the first and after the last block.
    """

    shape: Shape
    margins: tuple[int, int]

    @abstractmethod
    def fit(self, waveforms: Iterable[Tensor], total: Total = alone) -> None:
        """Learn what is to be learned, in one pass over stretches of the training split.

        Args:
            waveforms: the stretches, or this process's part of them, which may be empty.
            total: what is counted or summed over the stretches goes through it, in float64; every process has to
                call it as often as the others, with tensors of the same shapes.

        Shape:
            each (n_blocks * BLOCK_SIZE + sum(margins),)
        """

    @abstractmethod
    def transform(self, waveform: Tensor) -> Tensor:
        """Waveform to elements.

        Shape:
            (..., n_blocks * BLOCK_SIZE + sum(margins)) -> (..., n_blocks, dim)
        """

    def vary(self, waveform: Tensor) -> Tensor:
        """As `transform`, but for training: of the waveform as it might have been played, too, by chance.

        Shape:
            (batch, n_blocks * BLOCK_SIZE + sum(margins)) -> (batch, n_blocks, dim)
        """
        return self.transform(waveform)

    @abstractmethod
    def decoder(self) -> Decoder:
        """The inverse of `transform`, as a stream."""
