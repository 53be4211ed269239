"""The point head: regression, the ancestor's way. It gives one best guess and knows no chance."""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.elements import Shape
from pipeline.predictors.base import Head
from pipeline.settings import PointSettings, Sampling


class Point(Head):
    """Dense to the element; mean absolute or squared error.

    The weights start at zero, so an untrained head predicts the mean: training starts at a skill of 0 %.
    """

    def __init__(self, settings: PointSettings, width: int, shape: Shape) -> None:
        super().__init__()
        self.dense = nn.Linear(width, shape.dim)
        nn.init.zeros_(self.dense.weight)
        nn.init.zeros_(self.dense.bias)
        self.error = {"absolute": F.l1_loss, "squared": F.mse_loss}[settings.error]

    def loss(self, past: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
        """The mean error of the predictions."""
        return self.error(self.dense(past), targets)

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `Head.baselines`. An element has a mean of zero."""
        return {"mean": self.error(torch.zeros_like(targets), targets), "repeat": self.error(previous, targets)}

    def draw(self, past: Tensor, previous: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """The best guess; there is nothing to draw."""
        guess: Tensor = self.dense(past)
        return guess
