"""Roll-outs in 8 bits: a block reads a quarter of the bytes, and its matrix products are faster.

The quantisation step of each row, of weights and of inputs alike, is a fraction of its largest number (Dettmers et al.,
"LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022). Sums are exact; all but the matrix products
stays in float32.
"""

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from pipeline.models.backends.lstm import LSTM, HiddenState
from pipeline.models.base import Model

Module = TypeVar("Module", bound=nn.Module)

LARGEST = 127  # signed 8-bit number


def is_faster() -> bool:
    """Return whether this processor has instructions for products of 8-bit numbers."""
    return bool(torch.cpu.get_capabilities().get("avx512_vnni"))


def quantised(model: Model[Any]) -> Model[Any]:
    """Return a copy in 8 bits, for inference on a CPU."""
    return _quantise(copy.deepcopy(model))


def _quantise(module: Module) -> Module:
    for name, child in module.named_children():
        make = _IN_EIGHT_BITS.get(type(child), _quantise)
        setattr(module, name, make(child))
    return module


def quantise_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise rows: return 8-bit numbers and the step of each row; (..., size) -> (..., size), (..., 1)."""
    scale = (x.abs().amax(-1, keepdim=True) / LARGEST).clamp_(min=torch.finfo(x.dtype).tiny)
    return (x / scale).round_().to(torch.int8), scale


class _Product(nn.Module):
    """x W^T + b; (..., n_in) -> (..., n_out)."""

    weight: Tensor  # (n_out, n_in), 8 bits
    scale: Tensor  # (n_out,): the step of each row
    bias: Tensor  # (n_out,)

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        numbers, scale = quantise_rows(weight.detach())
        self.register_buffer("weight", numbers)
        self.register_buffer("scale", scale.flatten())
        self.register_buffer("bias", torch.zeros(len(weight)) if bias is None else bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        numbers, scale = quantise_rows(x)
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

    def forward(self, x: Tensor, state: HiddenState | None = None) -> tuple[Tensor, HiddenState]:
        hiddens, cells = state or (x.new_zeros(len(self._of_states), len(x), self._width),) * 2
        last = []
        for of_inputs, of_states, hidden, cell in zip(self._of_inputs, self._of_states, hiddens, cells, strict=True):
            states = []
            for from_input in of_inputs(x).unbind(1):
                input_, forget, candidate, output = (from_input + of_states(hidden)).chunk(4, -1)
                cell = torch.addcmul(forget.sigmoid() * cell, input_.sigmoid(), candidate.tanh())
                hidden = output.sigmoid() * cell.tanh()
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

    def forward(self, x: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        state, states = hidden[0], []
        for from_input in self._of_inputs(x).unbind(1):
            of_input, of_state = from_input.chunk(3, -1), self._of_states(state).chunk(3, -1)
            reset, update = ((a + b).sigmoid() for a, b in zip(of_input[:2], of_state[:2], strict=True))
            candidate = torch.addcmul(of_input[2], reset, of_state[2]).tanh()
            state = torch.lerp(candidate, state, update)
            states.append(state)
        return torch.stack(states, 1), state[None]


_IN_EIGHT_BITS = {nn.Linear: _Linear, LSTM: _LSTM, nn.GRU: _GRU}
