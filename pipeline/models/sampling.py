"""Sampling from a softmax."""

import torch
from torch import Generator, Tensor

from pipeline.config import Sampling

LOWEST_TEMPERATURE = 1e-300  # stands for 0, at which only the likeliest class remains


def sample(logits: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
    """Sample a class for each row: at a temperature, among the top k, and within the top p (Holtzman et al. 2020).

    Shape:
        (n, n_classes) -> (n,), int64
    """
    below = logits.double() - logits.max(-1, keepdim=True).values  # so that no temperature, however low, overflows
    ranked, order = (below / max(sampling.temperature, LOWEST_TEMPERATURE)).softmax(-1).sort(descending=True)
    if sampling.top_k:
        ranked[:, sampling.top_k :] = 0
    ranked[ranked.cumsum(-1) - ranked >= sampling.top_p * ranked.sum(-1, keepdim=True)] = 0
    rank = torch.multinomial(ranked, 1, generator=generator)
    return order.gather(-1, rank)[:, 0]
