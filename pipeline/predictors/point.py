"""The point head: regression, the ancestor's way. It gives one best guess and knows no chance."""

import torch.nn.functional as F
from torch import Generator, Tensor, nn


class Point(nn.Module):
    """Dense to the element; mean absolute or squared error.

    The weights start at zero, so an untrained head predicts the mean: training starts at a skill of 0 %.
    """

    def __init__(self, width: int, dim: int, error: str) -> None:
        super().__init__()
        self.dense = nn.Linear(width, dim)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.error = {"absolute": F.l1_loss, "squared": F.mse_loss}[error]

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean error of the predictions.

        Shape:
            (n, width), (n, dim) -> ()
        """
        return self.error(self.dense(outputs), targets)

    def draw(self, outputs: Tensor, generator: Generator) -> Tensor:
        """The best guess; there is nothing to draw.

        Shape:
            (n_clips, width) -> (n_clips, dim)
        """
        guess: Tensor = self.dense(outputs)
        return guess
