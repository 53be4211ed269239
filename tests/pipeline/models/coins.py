"""Numbers thrown like a coin, and what says how fair the coin is: known distributions for heads to learn."""

import torch
from torch import Tensor

from pipeline.models import Head

POINTS = (2.0, -1.0)  # heads and tails
SHARES = {-1.0: 1 / 3, 1.0: 3 / 4}  # of heads, by what is known of the coin


def coins(n: int, generator: torch.Generator) -> Tensor:
    """What is known of some coins, (n, 1)."""
    return torch.randint(2, (n, 1), generator=generator) * 2.0 - 1.0


def throw(known: Tensor, generator: torch.Generator) -> Tensor:
    """(n, 1) -> (n, 1)."""
    share = torch.where(known > 0, SHARES[1.0], SHARES[-1.0])
    return torch.where(torch.rand(known.shape, generator=generator) < share, *POINTS)


def learn(head: Head, n_steps: int) -> None:
    """Fit and train a head on throws alone."""
    generator = torch.Generator().manual_seed(0)
    head.fit(throw(coins(1000, generator), generator))
    optimiser = torch.optim.AdamW(head.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, n_steps)
    for _ in range(n_steps):
        known = coins(256, generator)
        loss = head.train().loss(known, throw(known, generator))
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    head.eval()
