"""What an element consists of: slices, one after the other, and in each how it sounds and which keys are struck."""

from typing import NamedTuple

from torch import Tensor


class Shape(NamedTuple):
    """Of an element: (n_slices, n_numbers + n_keys).

    A slice is `n_numbers` real numbers that tell how it sounds, and `n_keys` numbers that are 1 where a key is struck
    and 0 elsewhere. A representation that does not hear keys has none.
    """

    n_slices: int
    n_numbers: int
    n_keys: int = 0

    @property
    def size(self) -> int:
        """Numbers in a slice."""
        return self.n_numbers + self.n_keys

    @property
    def dim(self) -> int:
        """Numbers in an element."""
        return self.n_slices * self.size

    def slices(self, elements: Tensor) -> Tensor:
        """Elements as slices; (..., dim) -> (..., n_slices, size)."""
        return elements.reshape(*elements.shape[:-1], self.n_slices, self.size)

    def sound(self, slices: Tensor) -> Tensor:
        """How slices sound; (..., size) -> (..., n_numbers)."""
        return slices[..., : self.n_numbers]

    def keys(self, slices: Tensor) -> Tensor:
        """Which keys are struck; (..., size) -> (..., n_keys)."""
        return slices[..., self.n_numbers :]
