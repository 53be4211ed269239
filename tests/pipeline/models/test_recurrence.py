"""Our way through an LSTM against torch's, and against differences."""

import pytest
import torch
from torch import Tensor, nn

from pipeline.models.backends.lstm import LSTM, _Layer

SIZE, N, LENGTH = 6, 3, 5


def both(layers: int, dropout: float = 0.0) -> tuple[LSTM, nn.LSTM]:
    torch.manual_seed(0)
    ours = LSTM(SIZE, SIZE, layers, dropout)
    theirs = nn.LSTM(SIZE, SIZE, layers, dropout=dropout, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def inputs(grad: bool = True) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(N, LENGTH, SIZE, generator=generator, requires_grad=grad)
    hidden, cell = torch.randn(2, 2, N, SIZE, generator=generator).tanh()
    return x, (hidden, cell)


def test_gradients_are_those_of_differences() -> None:
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)

    weights = numbers(4 * SIZE, SIZE + 1), numbers(4 * SIZE, SIZE), numbers(4 * SIZE)
    arguments = numbers(LENGTH, N, SIZE + 1), numbers(N, SIZE), numbers(N, SIZE), *weights
    assert torch.autograd.gradcheck(_Layer.apply, arguments)


def test_learning_rounded_is_near_torch_in_float32() -> None:
    """bfloat16 keeps 8 bits: 0.4 % of a number."""
    ours, theirs = both(layers=2)
    results = []
    for lstm, rounded in ((ours, True), (theirs, False)):
        x, state = inputs()
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            outputs, (hidden, cell) = lstm(x, state)
        (outputs.float() ** 2).sum().add(hidden.float().sum() + (cell**3).sum()).backward()
        results.append([outputs, hidden, cell, x.grad, *(p.grad for p in lstm.parameters())])
    assert results[0][0].dtype == torch.bfloat16
    for ours_, theirs_ in zip(*results, strict=True):
        assert (ours_.float() - theirs_).norm() < 0.02 * theirs_.norm()


def test_nothing_kept_is_zeros() -> None:
    ours, _ = both(layers=2)
    x, state = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        outputs, _ = ours(x)
        from_zeros, _ = ours(x, tuple(torch.zeros_like(m) for m in state))
    assert torch.equal(outputs, from_zeros)


def test_dropout_is_between_layers_and_for_training_alone() -> None:
    ours, _ = both(layers=2, dropout=0.5)
    single, _ = both(layers=1)
    x, _ = inputs(grad=False)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(single(x)[0], single(x)[0])
        assert not torch.equal(ours(x)[0], ours(x)[0])
        ours.eval()
        assert torch.equal(ours(x)[0], ours(x)[0])


@pytest.mark.parametrize("grad", [True, False])
def test_in_float32_it_is_torch_to_the_bit(grad: bool) -> None:
    ours, theirs = both(layers=2)
    x, state = inputs()
    with torch.set_grad_enabled(grad):
        assert torch.equal(ours(x, state)[0], theirs(x, state)[0])


@torch.no_grad()
def test_one_time_is_torch_too() -> None:
    """To what float32 keeps of sums in another order."""
    ours, theirs = both(layers=2)
    x, state = inputs(grad=False)
    outputs, states = ours(x[:, :1], state)
    wanted, last = theirs(x[:, :1], state)
    torch.testing.assert_close(outputs, wanted, atol=1e-6, rtol=0)
    for got, want in zip(states, last, strict=True):
        torch.testing.assert_close(got, want, atol=1e-6, rtol=0)
