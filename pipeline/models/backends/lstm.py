"""torch's LSTM, with a backward pass of its own for bfloat16 on a CPU.

There, oneDNN's backward pass takes four to eight times as long as its forward pass, for twice the arithmetic
(docs/experiments.md, section 12). Here the inputs of all times are multiplied in one product, as are all gradients of
weights (Appleyard et al., "Optimizing Performance of Recurrent Neural Networks on GPUs", 2016); only the state's own
product is left inside the loop over time. Cells and activations stay in float32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

Memory = tuple[Tensor, Tensor]  # hidden and cell, each (layers, n, width)


class LSTM(nn.LSTM):
    """`nn.LSTM` of one direction that reads (n, length, size); the same weights by the same names."""

    def __init__(self, size: int, width: int, layers: int, dropout: float) -> None:
        super().__init__(size, width, layers, dropout=dropout, batch_first=True)

    def forward(self, x: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:  # type: ignore[override]
        """The top layer after each time, and what all layers remember at the end.

        Shape:
            (n, length, size) -> (n, length, width)
        """
        if x.shape[1] == 1 and memory is not None and not torch.is_grad_enabled():
            return self._step(x[:, 0], memory)
        device = x.device.type
        learns_rounded = device == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled(device)
        if not learns_rounded:
            outputs, memory = super().forward(x, memory)
            return outputs, memory
        dtype = torch.get_autocast_dtype(device)
        if memory is None:
            memory = (x.new_zeros(self.num_layers, len(x), self.hidden_size),) * 2
        hidden, cell = [], []
        outputs = x.transpose(0, 1).to(dtype)
        for layer in range(self.num_layers):
            if layer:
                outputs = F.dropout(outputs, self.dropout, self.training)
            of_inputs, of_states, bias, other_bias = self.all_weights[layer]
            outputs, last = _Layer.apply(  # type: ignore[no-untyped-call]
                outputs.contiguous(),
                memory[0][layer].to(dtype),
                memory[1][layer].float(),
                of_inputs.to(dtype),
                of_states.to(dtype),
                (bias + other_bias).to(dtype),
            )
            hidden.append(outputs[-1])
            cell.append(last)
        return outputs.transpose(0, 1), (torch.stack(hidden), torch.stack(cell))

    def _step(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """One time: oneDNN would pack the weights anew at each, which takes five times as long as to read them."""
        states = []
        for weights, hidden, cell in zip(self.all_weights, *memory, strict=True):
            states.append(torch.lstm_cell(x, (hidden, cell), *weights))
            x = states[-1][0]
        hidden, cell = (torch.stack(each) for each in zip(*states, strict=True))
        return x[:, None], (hidden, cell)


def open_forget_gates(lstm: nn.LSTM) -> None:
    """Let a fresh LSTM begin with long memory (Jozefowicz, Zaremba & Sutskever 2015)."""
    width = lstm.hidden_size
    with torch.no_grad():
        for layer in range(lstm.num_layers):
            getattr(lstm, f"bias_hh_l{layer}")[width : 2 * width] = 1.0


class _Layer(torch.autograd.Function):
    """One layer over all times, gates in torch's order: input, forget, cell, output.

    Shape:
        x (length, n, size), hidden and cell (n, width), weights (4 * width, size), (4 * width, width), (4 * width,)
        -> states (length, n, width), the last cell (n, width)
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, hidden: Tensor, cell: Tensor, of_inputs: Tensor, of_states: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        (length, n, _), width = x.shape, hidden.shape[-1]
        from_inputs = F.linear(x.flatten(0, 1), of_inputs, bias).view(length, n, 4 * width)
        gates = torch.empty_like(from_inputs, dtype=cell.dtype)
        states, cells = (first.new_empty(length + 1, n, width) for first in (hidden, cell))
        states[0], cells[0] = hidden, cell
        for t in range(length):
            torch.add(from_inputs[t], F.linear(states[t], of_states), out=gates[t])
            gates[t, :, : 2 * width].sigmoid_()
            gates[t, :, 2 * width : 3 * width].tanh_()
            gates[t, :, 3 * width :].sigmoid_()
            enter, keep, new, leave = gates[t].chunk(4, -1)
            torch.addcmul(keep * cells[t], enter, new, out=cells[t + 1])
            torch.mul(leave, cells[t + 1].tanh(), out=states[t + 1])
        ctx.save_for_backward(x, of_inputs, of_states, gates, states, cells)
        return states[1:], cells[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor, d_cell: Tensor) -> tuple[Tensor, ...]:
        x, of_inputs, of_states, gates, states, cells = ctx.saved_tensors
        enter, keep, new, leave = gates.chunk(4, -1)
        sounding = cells[1:].tanh()
        # What a gate's sum does to the cell, for input, forget and cell gate; to the state, for the output gate.
        to_cell = torch.stack([new * enter * (1 - enter), cells[:-1] * keep * (1 - keep), enter * (1 - new**2)], 2)
        to_state = sounding * leave * (1 - leave)
        through = leave * (1 - sounding**2)  # from cell to state
        d_gates = torch.empty_like(gates, dtype=x.dtype)
        by_gate = d_gates.view(*d_gates.shape[:2], 4, -1)
        d_states, d_state = d_states.to(cells.dtype), torch.zeros_like(d_cell)
        for t in reversed(range(len(x))):
            d_state = d_state + d_states[t]
            d_cell = torch.addcmul(d_cell, d_state, through[t])
            torch.mul(d_cell[:, None], to_cell[t], out=by_gate[t, :, :3])
            torch.mul(d_state, to_state[t], out=by_gate[t, :, 3])
            d_cell = d_cell * keep[t]
            d_state = (d_gates[t] @ of_states).to(cells.dtype)
        rows = d_gates.flatten(0, 1)
        return (
            (rows @ of_inputs).view_as(x),
            d_state.to(x.dtype),
            d_cell,
            rows.T @ x.flatten(0, 1),
            rows.T @ states[:-1].flatten(0, 1),
            rows.sum(0),
        )
