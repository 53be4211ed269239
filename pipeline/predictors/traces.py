"""How lately each key was struck: traces, which rise by 1 when it is and fade away.

A roll-out's sound blurs as it is fed back, but which keys were struck, and when, stays as certain as it was drawn. So
what still rings can be told from the traces however blurred it has become (exponential traces: Mozer, "Neural net
architectures for temporal sequence processing", 1993).
"""

import torch
from torch import Tensor

FADES = (2.0, 8.0, 32.0)  # slices, 0.1, 0.4 and 1.6 s, in which a trace falls to 1 / e


def n_traces(n_keys: int) -> int:
    """Numbers that tell how lately so many keys were struck."""
    return len(FADES) * n_keys


def traces_of(keys: Tensor, first: Tensor | None = None) -> Tensor:
    """Traces before each slice, and those after the last one.

    Args:
        keys: struck in each slice, (..., n_slices, n_keys).
        first: the traces before the first slice, (..., n_traces); without it no key was struck before.

    Returns:
        (..., n_slices + 1, n_traces)
    """
    stays = torch.tensor(FADES, device=keys.device).reciprocal().neg().exp().repeat_interleave(keys.shape[-1])
    struck = keys.repeat(*[1] * (keys.dim() - 1), len(FADES))
    traces = [torch.zeros_like(struck[..., 0, :]) if first is None else first]
    for now in struck.unbind(-2):
        traces.append(traces[-1] * stays + now)
    return torch.stack(traces, dim=-2)
