"""Blocks of two equal slices, thrown like a coin: what a point cannot tell, and a distribution can."""

import torch

from pipeline.elements import Shape
from pipeline.predictors import Head
from pipeline.predictors.traces import n_traces

SHAPE = Shape(
    n_slices=2, n_numbers=1, n_keys=2
)  # the first key is struck when the first point comes up, the other never
NOTHING = torch.zeros(1, 6)  # a block before the first throw
POINTS, SHARE = (2.0, -1.0), 1 / 3  # the first comes up in a third of the throws; the mean is 0
LSTM_WIDTH = 8
WIDTH = LSTM_WIDTH + n_traces(SHAPE.n_keys)  # of what is known of the past: nothing here


def throw(n: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 6)."""
    up = torch.rand(n, 1, generator=generator) < SHARE
    sound = torch.where(up, *(torch.tensor(point) for point in POINTS))
    return torch.cat([sound, up.float(), torch.zeros(n, 1)], dim=1).repeat(1, 2)


def learn(head: Head, n_steps: int) -> None:
    """Train a head on throws alone."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(head.parameters(), 5e-3)
    outputs, previous = torch.zeros(256, WIDTH), NOTHING.expand(256, -1)
    for _ in range(n_steps):
        loss = head.train().loss(outputs, previous, throw(256, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    head.eval()
