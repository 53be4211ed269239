"""The stacked LSTM: dense -> LSTM layers -> head. It reads elements and predicts the next one."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from pipeline.predictors.base import Predictor
from pipeline.predictors.point import Point
from pipeline.settings import LSTMSettings


class LSTMState(NamedTuple):
    """What a roll-out carries from block to block."""

    output: Tensor  # (n_clips, width): the top layer after the last element
    memory: tuple[Tensor, Tensor]  # hidden and cell, each (layers, n_clips, width)


class StackedLSTM(Predictor):
    """Dense to the LSTM's width, LSTM layers with dropout between them, and a head (Hochreiter & Schmidhuber 1997)."""

    def __init__(self, settings: LSTMSettings, dim: int) -> None:
        super().__init__()
        width, layers = settings.width, settings.layers
        self.dense = nn.Linear(dim, width)
        self.lstm = nn.LSTM(width, width, layers, dropout=settings.dropout if layers > 1 else 0.0, batch_first=True)
        self.head = Point(width, dim, settings.error)
        with torch.no_grad():  # a forget gate that starts open: long memory first (Jozefowicz et al. 2015)
            for layer in range(layers):
                getattr(self.lstm, f"bias_hh_l{layer}")[width : 2 * width] = 1.0

    def loss(self, sequence: Tensor, n_targets: Tensor) -> Tensor:
        """See `Predictor.loss`."""
        outputs, _ = self.lstm(self.dense(sequence[:, :-1]))  # (batch, length, width)
        counted = _counted(sequence, n_targets)
        return self.head.loss(outputs[counted], sequence[:, 1:][counted])

    def baselines(self, sequence: Tensor, n_targets: Tensor) -> dict[str, Tensor]:
        """See `Predictor.baselines`. A standardised element has a mean of zero."""
        counted = _counted(sequence, n_targets)
        targets = sequence[:, 1:][counted]
        return {
            "mean": self.head.error(torch.zeros_like(targets), targets),
            "repeat": self.head.error(sequence[:, :-1][counted], targets),
        }

    def start(self, prompt: Tensor) -> LSTMState:
        """See `Predictor.start`."""
        outputs, memory = self.lstm(self.dense(prompt))
        return LSTMState(outputs[:, -1], memory)

    def step(self, state: LSTMState, generator: Generator) -> tuple[Tensor, LSTMState]:
        """See `Predictor.step`."""
        element = self.head.draw(state.output, generator)
        output, memory = self.lstm(self.dense(element[:, None]), state.memory)
        return element, LSTMState(output[:, -1], memory)


def _counted(sequence: Tensor, n_targets: Tensor) -> Tensor:
    """Which targets count, (batch, length)."""
    return torch.arange(sequence.shape[1] - 1, device=sequence.device) < n_targets[:, None]
