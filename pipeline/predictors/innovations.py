"""Innovations: what of a slice does not follow linearly from the slice before it.

Most of a slice is the last one, decayed. Linear prediction (Makhoul, "Linear Prediction: A Tutorial Review", 1975)
knows that before any training, and a head is left with what is new.
"""

import torch
from torch import Tensor, nn

RIDGE = 1e-3  # variance of the noise that the prediction withstands, in elements, whose own variance is about 1
LEAST = 1e-6  # variance of an innovation


class Innovations(nn.Module):
    """Slices -> innovations on their own principal axes; `inverse` is the way back.

    Before `fit` nothing is expected: an innovation is the slice itself.
    """

    weight: Tensor  # (size, size): from the slice before to the one that is expected
    axes: Tensor  # (size, size): principal axes of innovations, in columns
    spread: Tensor  # (size,): their deviations

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(size, size))
        self.register_buffer("axes", torch.eye(size))
        self.register_buffer("spread", torch.ones(size))

    def fit(self, slices: Tensor, before: Tensor) -> None:
        """Least squares; an innovation has a mean of zero, as slices have over a corpus.

        Shape:
            (n, size), (n, size)
        """
        x, y = before.double(), slices.double()
        weight = torch.linalg.solve(x.T @ x + len(x) * RIDGE * torch.eye(x.shape[1]), x.T @ y)
        left = y - x @ weight
        variances, axes = torch.linalg.eigh(left.T @ left / len(x))
        self.weight.copy_(weight)
        self.axes.copy_(axes)
        self.spread.copy_(variances.clamp(min=LEAST).sqrt())

    def forward(self, slices: Tensor, before: Tensor) -> Tensor:
        """What is new.

        Shape:
            (..., size), (..., size) -> (..., size)
        """
        with torch.autocast(slices.device.type, enabled=False):  # it is a target, not to be rounded
            new: Tensor = (slices - before @ self.weight) @ self.axes
            return new

    def inverse(self, innovations: Tensor, before: Tensor) -> Tensor:
        """The slices.

        Shape:
            (..., size), (..., size) -> (..., size)
        """
        return innovations @ self.axes.T + before @ self.weight
