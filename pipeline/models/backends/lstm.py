"""torch's LSTM with its own backward pass for bfloat16 on a CPU.

There, oneDNN's backward pass takes four to eight times as long as its forward pass, for twice the arithmetic
(docs/experiments.md, section 12). Here one product multiplies the inputs of all times, and one each the gradients of
the weights (Appleyard et al., "Optimizing Performance of Recurrent Neural Networks on GPUs", 2016); only the product
with the hidden state stays inside the loop over time. Cells and activations stay in float32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

HiddenState = tuple[Tensor, Tensor]  # hidden and cell state, each (layers, n, width)


class LSTM(nn.LSTM):
    """A unidirectional `nn.LSTM` that reads (n, length, size); its weights have the same names."""

    def __init__(self, size: int, width: int, layers: int, dropout: float) -> None:
        super().__init__(size, width, layers, dropout=dropout, batch_first=True)

    def forward(self, x: Tensor, state: HiddenState | None = None) -> tuple[Tensor, HiddenState]:  # type: ignore[override]
        """Return the top layer's outputs, and the hidden states of all layers after the last time.

        Shape:
            (n, length, size) -> (n, length, width)
        """
        if x.shape[1] == 1 and state is not None and not torch.is_grad_enabled():
            return self._step(x[:, 0], state)
        device = x.device.type
        trains_in_bfloat16 = device == "cpu" and torch.is_grad_enabled() and torch.is_autocast_enabled(device)
        if not trains_in_bfloat16:
            outputs, state = super().forward(x, state)
            return outputs, state
        dtype = torch.get_autocast_dtype(device)
        if state is None:
            state = (x.new_zeros(self.num_layers, len(x), self.hidden_size),) * 2
        hidden, cell = [], []
        outputs = x.transpose(0, 1).to(dtype)
        for layer in range(self.num_layers):
            if layer:
                outputs = F.dropout(outputs, self.dropout, self.training)
            of_inputs, of_states, bias, other_bias = self.all_weights[layer]
            outputs, last = _Layer.apply(  # type: ignore[no-untyped-call]
                outputs.contiguous(),
                state[0][layer].to(dtype),
                state[1][layer].float(),
                of_inputs.to(dtype),
                of_states.to(dtype),
                (bias + other_bias).to(dtype),
            )
            hidden.append(outputs[-1])
            cell.append(last)
        return outputs.transpose(0, 1), (torch.stack(hidden), torch.stack(cell))

    def _step(self, x: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        """Run one time; oneDNN would pack the weights at each, which takes five times as long as reading them."""
        states = []
        for weights, hidden, cell in zip(self.all_weights, *state, strict=True):
            states.append(torch.lstm_cell(x, (hidden, cell), *weights))
            x = states[-1][0]
        hidden, cell = (torch.stack(each) for each in zip(*states, strict=True))
        return x[:, None], (hidden, cell)


def open_forget_gates(lstm: nn.LSTM) -> None:
    """Initialise the forget gates open (Jozefowicz, Zaremba & Sutskever 2015)."""
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
            input_, forget, candidate, output = gates[t].chunk(4, -1)
            torch.addcmul(forget * cells[t], input_, candidate, out=cells[t + 1])
            torch.mul(output, cells[t + 1].tanh(), out=states[t + 1])
        ctx.save_for_backward(x, of_inputs, of_states, gates, states, cells)
        return states[1:], cells[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor, d_cell: Tensor) -> tuple[Tensor, ...]:
        x, of_inputs, of_states, gates, states, cells = ctx.saved_tensors
        input_, forget, candidate, output = gates.chunk(4, -1)
        squashed = cells[1:].tanh()
        # Derivatives by the gates' sums: of the cell for the input, forget and cell gates, of the state for the output.
        to_cell = torch.stack(
            [
                candidate * input_ * (1 - input_),
                cells[:-1] * forget * (1 - forget),
                input_ * (1 - candidate**2),
            ],
            2,
        )
        to_state = squashed * output * (1 - output)
        through = output * (1 - squashed**2)  # from cell to state
        d_gates = torch.empty_like(gates, dtype=x.dtype)
        by_gate = d_gates.view(*d_gates.shape[:2], 4, -1)
        d_states, d_state = d_states.to(cells.dtype), torch.zeros_like(d_cell)
        for t in reversed(range(len(x))):
            d_state = d_state + d_states[t]
            d_cell = torch.addcmul(d_cell, d_state, through[t])
            torch.mul(d_cell[:, None], to_cell[t], out=by_gate[t, :, :3])
            torch.mul(d_state, to_state[t], out=by_gate[t, :, 3])
            d_cell = d_cell * forget[t]
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
