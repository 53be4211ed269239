"""8 bits against the same in float32, and against integers counted by numpy."""

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from pipeline.codecs import Codec, Latents, make_codec
from pipeline.codecs.instrument import N_CURVES
from pipeline.config import Sampling, Settings
from pipeline.models import Blocks, make_model
from pipeline.models.backends.int8 import quantise_rows, quantised
from pipeline.models.backends.lstm import LSTM
from tests.pipeline.models import small


def in_eight_bits(module: nn.Module) -> nn.Module:
    return quantised(nn.Sequential(module))[0]  # type: ignore[arg-type]


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def near(ours: Tensor, exact: Tensor) -> None:
    """8 bits of normal numbers, the largest of which are 3 to 4 stds: 1 % for each of the factors."""
    assert ours.shape == exact.shape
    assert 0 < (ours - exact).norm() < 0.02 * exact.norm()


@pytest.fixture(autouse=True)
def same_weights() -> None:
    torch.manual_seed(0)


def test_rows_are_rounded_to_shares_of_their_largest() -> None:
    numbers, scale = quantise_rows(torch.tensor([[0.5, -1.27, 0.004], [0.0, 0.0, 0.0]]))
    assert numbers.tolist() == [[50, -127, 0], [0, 0, 0]]
    assert scale[0].item() == pytest.approx(0.01)


def test_sums_are_exact() -> None:
    linear, x = nn.Linear(500, 30), normal(4, 500)
    weight = linear.weight.detach().numpy()
    steps, x_steps = np.abs(weight).max(1) / 127, np.abs(x.numpy()).max(1) / 127
    sums = np.round(x.numpy() / x_steps[:, None]).astype(int) @ np.round(weight / steps[:, None]).astype(int).T
    expected = sums * x_steps[:, None] * steps + linear.bias.detach().numpy()
    np.testing.assert_allclose(in_eight_bits(linear)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_layer_is_near_itself(bias: bool) -> None:
    linear, x = nn.Linear(64, 32, bias=bias), normal(5, 3, 64)
    near(in_eight_bits(linear)(x), linear(x))


def test_an_lstm_is_near_itself_and_carries_its_memory() -> None:
    lstm = LSTM(32, 32, 2, 0.0)
    ours, x = in_eight_bits(lstm), normal(3, 8, 32)
    outputs, state = ours(x)
    exact, exact_state = lstm(x)
    near(outputs, exact)
    for part, exact_part in zip(state, exact_state, strict=True):
        near(part, exact_part)
    _, first = ours(x[:, :5])
    rest, last = ours(x[:, 5:], first)
    assert torch.equal(rest, outputs[:, 5:])
    assert torch.equal(torch.stack(last), torch.stack(state))


def test_a_gru_is_near_itself() -> None:
    gru, x, first = nn.GRU(32, 32, batch_first=True), normal(3, 8, 32), normal(1, 3, 32).tanh()
    for ours, exact in zip(in_eight_bits(gru)(x, first), gru(x, first), strict=True):
        near(ours, exact)


def test_a_clip_does_not_depend_on_the_others() -> None:
    linear, x = in_eight_bits(nn.Linear(64, 32)), normal(5, 64)
    among_loud = torch.cat([x, 100 * x])
    assert torch.equal(linear(among_loud)[:5], linear(x))


def prompt_of(codec: Codec, n_blocks: int) -> Blocks:
    shape = (2, n_blocks, codec.n_frames)
    if not codec.reads_notes:
        return Blocks(Latents(normal(*shape, codec.dims)), None)
    return Blocks(
        Latents(normal(*shape, codec.dims), None, normal(*shape, codec.conditioning_dims)),
        small.events_of([small.music(0, n_blocks), small.music(1, n_blocks)], n_blocks),
    )


@pytest.mark.parametrize(("preset", "share"), [("tiny", 0.27), ("tiny_flow", 0.8)])
def test_a_model_steps_near_itself_in_less_room(preset: str, share: float, request: pytest.FixtureRequest) -> None:
    """The notes are given: where one more were sampled, all would differ."""
    settings: Settings = request.getfixturevalue(preset).with_values({"width": 64, "layers": 2})
    codec = make_codec(settings.codec)
    model = make_model(settings, codec).eval()
    for weight in model.parameters():
        nn.init.normal_(weight, std=0.05)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    ours = quantised(model)
    notes = [small.music(n, 5) for n in (0, 1)]
    latents = []
    with torch.inference_mode():
        for each in (ours, model):
            decoder = codec.decoder(torch.zeros(2, 2 * N_CURVES))
            decoder.expect([row.between(0, 1.0) for row in notes], 4)
            state, generator = each.prime(prompt_of(codec, 4)), Generator().manual_seed(0)
            block, _ = each.step(state, decoder, generator, Sampling(), [row.between(1.0, 1.25) for row in notes])
            latents.append(block.latents.latent)
    assert 0 < (latents[0] - latents[1]).norm() < 0.05 * latents[1].norm()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    n_bytes = [sum(weight.nbytes for weight in each.state_dict().values()) for each in (ours, model)]
    assert n_bytes[0] < share * n_bytes[1]
