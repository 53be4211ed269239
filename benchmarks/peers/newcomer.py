"""The ancestor's network in torch as a newcomer writes it: float32, a DataLoader over tensors computed before."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.clock import Work, timed

DIM = 22_050  # real and imaginary parts of the whole complex FFT of a block


class Network(nn.Module):
    """Dense, one LSTM, dense."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(DIM, width)
        self.lstm = nn.LSTM(width, width, batch_first=True)
        self.out = nn.Linear(width, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, length, DIM) -> the same."""
        outputs, _ = self.lstm(self.dense(x))
        predicted: Tensor = self.out(outputs)
        return predicted


def training_step(batch: int, length: int, width: int) -> Work:
    """An optimiser step."""
    x, y = torch.randn(2, batch, length, DIM)
    loader = DataLoader(TensorDataset(x, y), batch_size=batch, shuffle=True)
    model = Network(width)
    optimiser = torch.optim.RMSprop(model.parameters())
    loss_function = nn.L1Loss()

    def endless() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def step() -> None:
        inputs, targets = next(batches)
        optimiser.zero_grad()
        loss = loss_function(model(inputs), targets)
        loss.backward()
        optimiser.step()

    return timed(step)
