"""Models in 8 bits, to roll out with: a quarter of the bytes to read for a block, and faster products.

What weights and what they are multiplied with are rounded to is a share of the largest number of a row, of either
(Dettmers et al., "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022). Sums are exact; all that
is not a product of weights stays in float32.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from pipeline.models.backends.lstm import LSTM, Memory
from pipeline.models.base import Model

Module = TypeVar("Module", bound=nn.Module)

LARGEST = 127  # 8-bit number with a sign


def is_faster() -> bool:
    """Whether this processor multiplies 8-bit numbers by instructions of their own."""
    return bool(torch.cpu.get_capabilities().get("avx512_vnni"))


def quantised(model: Model) -> Model:
    """A copy in 8 bits, for inference on a CPU."""
    return _quantise(copy.deepcopy(model))


def _quantise(module: Module) -> Module:
    for name, child in module.named_children():
        make = _IN_EIGHT_BITS.get(type(child), _quantise)
        setattr(module, name, make(child))
    return module


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """Rows as 8-bit numbers, and what one of them stands for; (..., size) -> (..., size), (..., 1)."""
    scale = (x.abs().amax(-1, keepdim=True) / LARGEST).clamp_(min=torch.finfo(x.dtype).tiny)
    return (x / scale).round_().to(torch.int8), scale


class _Product(nn.Module):
    """x W^T + b; (..., n_in) -> (..., n_out)."""

    weight: Tensor  # (n_out, n_in), 8 bits
    scale: Tensor  # (n_out,): what 1 stands for there
    bias: Tensor  # (n_out,)

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        numbers, scale = rounded(weight.detach())
        self.register_buffer("weight", numbers)
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", torch.zeros(len(weight)) if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        numbers, scale = rounded(x)
        sums = torch._int_mm(numbers.reshape(-1, x.shape[-1]), self.weight.T).float()
        return torch.addcmul(self.bias, sums.view(*x.shape[:-1], -1).mul_(scale), self.scale)


class _Linear(_Product):
    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear.weight, linear.bias)


class _LSTM(nn.Module):
    """As `pipeline.models.backends.lstm.LSTM`."""

    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self._width = lstm.hidden_size
        self._of_inputs = nn.ModuleList(_Product(weight, bias) for weight, _, bias, _ in lstm.all_weights)
        self._of_states = nn.ModuleList(_Product(weight, bias) for _, weight, _, bias in lstm.all_weights)

    def forward(self, x: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        hiddens, cells = memory or (x.new_zeros(len(self._of_states), len(x), self._width),) * 2
        last = []
        for of_inputs, of_states, hidden, cell in zip(self._of_inputs, self._of_states, hiddens, cells, strict=True):
            states = []
            for from_input in of_inputs(x).unbind(1):
                enter, keep, new, leave = (from_input + of_states(hidden)).chunk(4, -1)
                cell = torch.addcmul(keep.sigmoid() * cell, enter.sigmoid(), new.tanh())
                hidden = leave.sigmoid() * cell.tanh()
                states.append(hidden)
            x = torch.stack(states, 1)
            last.append((hidden, cell))
        hidden, cell = (torch.stack(each) for each in zip(*last, strict=True))
        return x, (hidden, cell)


class _GRU(nn.Module):
    """As `nn.GRU` of one layer with the batch first."""

    def __init__(self, gru: nn.GRU) -> None:
        super().__init__()
        ((w, v, b, c),) = gru.all_weights
        self._of_inputs, self._of_states = _Product(w, b), _Product(v, c)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        state, states = memory[0], []
        for from_input in self._of_inputs(x).unbind(1):
            of_input, of_state = from_input.chunk(3, -1), self._of_states(state).chunk(3, -1)
            reset, keep = ((a + b).sigmoid() for a, b in zip(of_input[:2], of_state[:2], strict=True))
            new = torch.addcmul(of_input[2], reset, of_state[2]).tanh()
            state = torch.lerp(new, state, keep)
            states.append(state)
        return torch.stack(states, 1), state[None]


_IN_EIGHT_BITS = {nn.Linear: _Linear, LSTM: _LSTM, nn.GRU: _GRU}
