"""Innovations: what of a slice's sound does not follow linearly from the slice before it and the keys now struck.

Most of a slice is the last one, decayed. Linear prediction (Makhoul, "Linear Prediction: A Tutorial Review", 1975)
knows that before any training, and a head is left with what is new.
"""

import torch
from torch import Tensor, nn

RIDGE = 1e-3  # variance of the noise that the prediction withstands, in elements, whose own variance is about 1
LEAST = 1e-6  # variance of an innovation
FAINTEST = 0.15  # deviation of noise where nothing is new: there, too, draws are not quite right


class Innovations(nn.Module):
    """Slices -> innovations on their own principal axes; `inverse` is the way back.

    Before `fit` nothing is expected: an innovation is the slice itself.
    """

    weight: Tensor  # (n_known, size): from what is known to the slice that is expected
    axes: Tensor  # (size, size): principal axes of innovations, in columns
    spread: Tensor  # (size,): their deviations

    def __init__(self, n_known: int, size: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(n_known, size))
        self.register_buffer("axes", torch.eye(size))
        self.register_buffer("spread", torch.ones(size))

    def fit(self, slices: Tensor, known: Tensor) -> None:
        """Least squares; an innovation has a mean of zero, as slices have over a corpus.

        Shape:
            (n, size), (n, n_known)
        """
        x, y = known.double(), slices.double()
        weight = torch.linalg.solve(x.T @ x + len(x) * RIDGE * torch.eye(x.shape[1]), x.T @ y)
        left = y - x @ weight
        variances, axes = torch.linalg.eigh(left.T @ left / len(x))
        self.weight.copy_(weight)
        self.axes.copy_(axes)
        self.spread.copy_(variances.clamp(min=LEAST).sqrt())

    def forward(self, slices: Tensor, known: Tensor) -> Tensor:
        """What is new.

        Shape:
            (..., size), (..., n_known) -> (..., size)
        """
        with torch.autocast(slices.device.type, enabled=False):  # it is a target, not to be rounded
            new: Tensor = (slices - known @ self.weight) @ self.axes
            return new

    def inverse(self, innovations: Tensor, known: Tensor) -> Tensor:
        """The slices.

        Shape:
            (..., size), (..., n_known) -> (..., size)
        """
        return innovations @ self.axes.T + known @ self.weight

    def noise_like(self, slices: Tensor) -> Tensor:
        """Normal noise that is spread as innovations are, and a little in every direction; (..., size)."""
        return (torch.randn_like(slices) * (self.spread + FAINTEST)) @ self.axes.T
