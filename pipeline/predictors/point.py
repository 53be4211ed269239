"""The point head: regression, the ancestor's way. It gives one best guess and knows no chance."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd.function import once_differentiable

from pipeline.elements import Shape
from pipeline.predictors.base import Head
from pipeline.settings import PointSettings, Sampling

ROWS_AT_ONCE = 32  # of 11 026 numbers: what fits into a cache


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
        loss: Tensor = _MeanError.apply(self.dense(past), targets, self.error)  # type: ignore[no-untyped-call]
        return loss

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """See `Head.baselines`. An element has a mean of zero."""
        return {"mean": self.error(torch.zeros_like(targets), targets), "repeat": self.error(previous, targets)}

    def draw(self, past: Tensor, previous: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """The best guess; there is nothing to draw."""
        guess: Tensor = self.dense(past)
        return guess


class _MeanError(torch.autograd.Function):
    """An error and, on the way, its gradient by the guesses: elements are so large that each pass over them counts.

    Shape:
        guesses (n, dim), of any precision, targets (n, dim) -> ()
    """

    @staticmethod
    def forward(ctx: Any, guesses: Tensor, targets: Tensor, error: Any) -> Tensor:
        gradient = torch.empty_like(guesses)
        total = targets.new_zeros(())
        pieces = (each.split(ROWS_AT_ONCE) for each in (guesses, targets, gradient))
        for guess, target, its_gradient in zip(*pieces, strict=True):
            difference = guess.to(target.dtype) - target
            if error is F.l1_loss:
                its_gradient.copy_(difference.sign())
                total += difference.abs_().sum()
            else:
                its_gradient.copy_(2 * difference)
                total += difference.square_().sum()
        ctx.save_for_backward(gradient)
        ctx.n = targets.numel()
        return total / ctx.n

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_loss: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient.mul_((d_loss / ctx.n).to(gradient.dtype)), None, None
