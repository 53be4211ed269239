"""Optimiser steps of our networks on random sequences in memory."""

import torch

from benchmarks.clock import Work, timed
from benchmarks.limits import DTYPES
from pipeline.elements import Shape
from pipeline.predictors import make_predictor
from pipeline.settings import Settings


class Trainer:
    """A network with its optimiser, stepped at any batch size and precision.

    Args:
        settings: of predictor and training.
        shape: of an element.
        device: "cpu" or "cuda".
    """

    def __init__(self, settings: Settings, shape: Shape, device: str = "cpu") -> None:
        self._length, self._dim, self._device = settings.training.sequence_blocks, shape.dim, device
        self._width, self._layers = settings.predictor.width, settings.predictor.layers
        self._predictor = make_predictor(settings, shape).to(device)
        make_optimiser = {"adamw": torch.optim.AdamW, "rmsprop": torch.optim.RMSprop}[settings.training.optimiser]
        self._optimiser = make_optimiser(self._predictor.parameters())

    def step(self, batch: int, precision: str) -> Work:
        """An optimiser step."""
        sequence = torch.randn(batch, self._length + 1, self._dim).to(self._device)
        n_targets = torch.full((batch,), self._length, device=self._device)

        def step() -> None:
            with torch.autocast(self._device, DTYPES[precision], enabled=precision != "float32"):
                loss = self._predictor.loss(sequence, n_targets)
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self._optimiser.zero_grad()

        return timed(step)

    @property
    def operations_per_block(self) -> int:
        """Of a step: two a weight forward, four backward; the first layer hands no gradient further down."""
        ends = self._dim * self._width  # weights of each dense layer
        lstm = self._layers * 8 * self._width**2  # four gates read the input and the state
        return 6 * (2 * ends + lstm) - 2 * ends
