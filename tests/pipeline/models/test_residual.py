"""The residual decoder's own state, and what it reads while training."""

import pytest
import torch
from torch import Generator, Tensor

from pipeline.config import Sampling
from pipeline.models.residual import ResidualDecoder, ResidualState
from tests.pipeline.models import small

WIDTH = 16  # of the context


def context(n_rows: int, n_blocks: int) -> Tensor:
    return torch.randn(n_rows, n_blocks, WIDTH, generator=Generator().manual_seed(3))


@pytest.fixture
def decoder() -> ResidualDecoder:
    return small.model().residual


@torch.no_grad()
def test_reading_in_two_parts_is_reading_in_one(decoder: ResidualDecoder) -> None:
    latents, of_blocks = small.latents(2, 5), context(2, 5)
    whole = decoder.read(latents, of_blocks, decoder.init_state(2))
    first = decoder.read(latents.blocks(slice(0, 2)), of_blocks[:, :2], decoder.init_state(2))
    second = decoder.read(latents.blocks(slice(2, None)), of_blocks[:, 2:], first)
    torch.testing.assert_close(second.hidden, whole.hidden, atol=1e-5, rtol=0)
    torch.testing.assert_close(second.last, latents.latent[:, -1, -1])


@torch.no_grad()
def test_what_was_sampled_is_read_as_if_it_had_been_given(decoder: ResidualDecoder) -> None:
    latents, of_blocks = small.latents(2, 1), context(2, 1)
    start = decoder.read(small.latents(2, 1, seed=5), context(2, 1), decoder.init_state(2))
    assert latents.conditioning is not None
    latent, after = decoder.sample(
        latents.conditioning[:, 0], of_blocks[:, 0], start, Generator().manual_seed(0), Sampling()
    )
    assert latent.shape == (2, small.N_PATCHES, small.DIMS)
    given: ResidualState = decoder.read(latents._replace(latent=latent[:, None]), of_blocks, start)
    torch.testing.assert_close(after.hidden, given.hidden, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.last, given.last)


@torch.no_grad()
def test_in_training_frames_are_replaced_by_noise_in_shares() -> None:
    """By k ~ U(0, 1): sqrt(1 - k) of it is kept, 2/3 on average, and its std stays as it was."""
    decoder = small.model(residual_noise=0.0).residual.train()
    decoder.std.fill_(3.0)
    latents = small.latents(200, 8)
    latents = latents._replace(latent=3.0 * latents.latent)
    read: list[Tensor] = []
    decoder.from_last.register_forward_pre_hook(lambda _, given: read.append(given[0]))
    torch.manual_seed(0)
    decoder.loss(latents, context(200, 8))
    before = latents.latent.flatten(1, 2)[:, :-1] / 3.0
    noisy = read[0][:, 1:]
    kept = (noisy * before).sum(-1) / before.square().sum(-1)  # of each frame, over its dimensions
    assert kept.mean().item() == pytest.approx(2 / 3, abs=0.02)
    assert noisy.std().item() == pytest.approx(1, abs=0.02)
    low, high = kept.quantile(torch.tensor([0.1, 0.9])).tolist()
    assert low < 0.35 < 0.9 < high
    read.clear()
    decoder.eval().loss(latents, context(200, 8))
    torch.testing.assert_close(read[0][:, 1:], before, atol=1e-5, rtol=0)


@torch.no_grad()
def test_losses_compare_in_validation_and_vary_in_training(decoder: ResidualDecoder) -> None:
    latents, of_blocks = small.latents(2, 4), context(2, 4)
    assert torch.equal(decoder.loss(latents, of_blocks), decoder.loss(latents, of_blocks))
    decoder.train()
    assert not torch.equal(decoder.loss(latents, of_blocks), decoder.loss(latents, of_blocks))
