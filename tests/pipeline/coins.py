"""Blocks of two equal slices, thrown like a coin: what a point cannot tell, and a distribution can."""

import torch

from pipeline.predictors import Head

SHAPE = (2, 1)  # two slices of one number
POINTS, SHARE = (2.0, -1.0), 1 / 3  # the first comes up in a third of the throws; the mean is 0
WIDTH = 8  # of the LSTM's state, which knows nothing here


def throw(n: int, generator: torch.Generator) -> torch.Tensor:
    """(n, 2)."""
    up = torch.rand(n, 1, generator=generator) < SHARE
    return torch.where(up, *(torch.tensor(point) for point in POINTS)).expand(n, 2).contiguous()


def learn(head: Head, n_steps: int) -> None:
    """Train a head on throws alone."""
    generator = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(head.parameters(), 5e-3)
    outputs, previous = torch.zeros(256, WIDTH), torch.zeros(256, 2)
    for _ in range(n_steps):
        loss = head.train().loss(outputs, previous, throw(256, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        optimiser.zero_grad()
    head.eval()
