"""Noise on what a model is fed while it trains, so that its own faults do not lead it astray when it is fed those."""

import torch
from torch import Tensor


def noisy(elements: Tensor, noise: Tensor, most: float) -> Tensor:
    """Add noise, to each row as much as chance wants: between none and `most` times.

    A roll-out feeds a model its own draws, which are never quite right (exposure bias; Bengio et al. 2015, Ranzato et
    al. 2016). Noise as its stand-in is from diffusion forcing and kin (Chen et al. 2024).

    Shape:
        (n, ...), (n, ...) -> (n, ...)
    """
    level = torch.rand(len(elements), *[1] * (elements.dim() - 1), device=elements.device) * most
    return elements + level * noise
