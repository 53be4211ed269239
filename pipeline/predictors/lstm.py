"""The stacked LSTM: dense -> LSTM layers -> head. It reads elements, one a block, and predicts the next one."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from pipeline.elements import Shape
from pipeline.predictors.base import Head, Predictor
from pipeline.predictors.noise import noisy
from pipeline.predictors.recurrence import LSTM
from pipeline.predictors.traces import traces_of
from pipeline.settings import LSTMSettings, Sampling


class LSTMState(NamedTuple):
    """What a roll-out carries from block to block."""

    element: Tensor  # (n_clips, dim): the last one
    past: Tensor  # (n_clips, width + n_traces): the top layer after it, and how lately each key was struck
    memory: tuple[Tensor, Tensor]  # hidden and cell, each (layers, n_clips, width)


class StackedLSTM(Predictor):
    """Dense to the LSTM's width, LSTM layers with dropout between them, and a head (Hochreiter & Schmidhuber 1997)."""

    def __init__(self, settings: LSTMSettings, shape: Shape, head: Head) -> None:
        super().__init__()
        width, layers = settings.width, settings.layers
        self.noise = settings.noise
        self.shape = shape
        self.dense = nn.Linear(shape.dim, width)
        self.lstm = LSTM(width, width, layers, dropout=settings.dropout if layers > 1 else 0.0)
        self.head = head
        self.drawn_by = head.drawn_by
        with torch.no_grad():  # a forget gate that starts open: long memory first (Jozefowicz et al. 2015)
            for layer in range(layers):
                getattr(self.lstm, f"bias_hh_l{layer}")[width : 2 * width] = 1.0

    def fit(self, elements: Iterable[Tensor]) -> None:
        """See `Predictor.fit`."""
        self.head.fit(elements)

    def loss(self, sequence: Tensor, n_targets: Tensor) -> Tensor:
        """See `Predictor.loss`."""
        heard = sequence[:, :-1]
        if self.training and self.noise:
            slices = self.shape.slices(heard)
            sound = self.shape.sound(slices)
            sound = noisy(sound, torch.randn_like(sound), self.noise)
            heard = torch.cat([sound, self.shape.keys(slices)], dim=-1).flatten(-2)
        outputs, _ = self.lstm(self.dense(heard))
        past = torch.cat([outputs, self._traces(sequence[:, :-1])], dim=-1)  # (batch, length, width + n_traces)
        counted = _counted(sequence, n_targets)
        return self.head.loss(past[counted], sequence[:, :-1][counted], sequence[:, 1:][counted])

    def baselines(self, sequence: Tensor, n_targets: Tensor) -> dict[str, Tensor]:
        """See `Predictor.baselines`."""
        counted = _counted(sequence, n_targets)
        return self.head.baselines(sequence[:, :-1][counted], sequence[:, 1:][counted])

    def start(self, prompt: Tensor) -> LSTMState:
        """See `Predictor.start`."""
        outputs, memory = self.lstm(self.dense(prompt))
        past = torch.cat([outputs, self._traces(prompt)], dim=-1)
        return LSTMState(prompt[:, -1], past[:, -1], memory)

    def step(self, state: LSTMState, generator: Generator, sampling: Sampling) -> tuple[Tensor, LSTMState]:
        """See `Predictor.step`."""
        element = self.head.draw(state.past, state.element, generator, sampling)
        outputs, memory = self.lstm(self.dense(element[:, None]), state.memory)
        traces = self._traces(element[:, None], state.past[:, outputs.shape[-1] :])
        return element, LSTMState(element, torch.cat([outputs, traces], dim=-1)[:, -1], memory)

    def _traces(self, elements: Tensor, first: Tensor | None = None) -> Tensor:
        """Of the keys, after each element; (batch, length, dim) -> (batch, length, n_traces)."""
        keys = self.shape.keys(self.shape.slices(elements)).flatten(1, 2)
        return traces_of(keys, first)[:, self.shape.n_slices :: self.shape.n_slices]


def _counted(sequence: Tensor, n_targets: Tensor) -> Tensor:
    """Which targets count, (batch, length)."""
    return torch.arange(sequence.shape[1] - 1, device=sequence.device) < n_targets[:, None]
