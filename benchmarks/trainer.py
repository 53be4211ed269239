"""Optimiser steps of our networks on random sequences in memory."""

import torch

from benchmarks.clock import Work, timed
from benchmarks.costs import STRUCK, step_flops
from benchmarks.limits import DTYPES
from pipeline.elements import Shape
from pipeline.memory import keep_freed_memory
from pipeline.predictors import make_predictor
from pipeline.settings import FlowSettings, Settings
from pipeline.train import make_optimiser


class Trainer:
    """A network with its optimiser, stepped at any batch size and precision.

    Args:
        settings: of predictor and training.
        shape: of an element.
        device: "cpu" or "cuda".
    """

    def __init__(self, settings: Settings, shape: Shape, device: str = "cpu") -> None:
        keep_freed_memory()  # as training does
        self._settings, self._shape, self._device = settings, shape, device
        self._predictor = make_predictor(settings, shape).to(device)
        self._optimiser = make_optimiser(self._predictor, settings.training)

    def step(self, batch: int, precision: str) -> Work:
        """An optimiser step."""
        length = self._settings.training.sequence_blocks
        slices = torch.randn(batch, length + 1, self._shape.n_slices, self._shape.size)
        keys = self._shape.keys(slices)
        keys.copy_(torch.rand_like(keys) < STRUCK / max(self._shape.n_keys, 1))
        sequence = slices.flatten(2).to(self._device)
        n_targets = torch.full((batch,), length, device=self._device)

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
        if isinstance(self._settings.head, FlowSettings):
            return step_flops(self._settings)
        dim, width, layers = self._shape.dim, self._settings.predictor.width, self._settings.predictor.layers
        ends = dim * width  # weights of each dense layer
        lstm = layers * 8 * width**2  # four gates read the input and the state
        return 6 * (2 * ends + lstm) - 2 * ends
