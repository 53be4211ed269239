from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.dsp.overlap import Joiner, context_padding, to_blocks, window

OVERLAPS = st.one_of(st.sampled_from([0, 1, 2, BLOCK_SIZE - 1, BLOCK_SIZE]), st.integers(0, BLOCK_SIZE))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def divided(waveform: torch.Tensor, overlap: int = 0) -> torch.Tensor:
    """Cut a whole waveform into blocks, completed and surrounded with zeros."""
    before, after = context_padding(overlap)
    missing = -waveform.shape[-1] % BLOCK_SIZE
    return to_blocks(torch.nn.functional.pad(waveform, (before, missing + after)), BLOCK_SIZE, overlap)


def join(blocks: torch.Tensor, overlap: int = 0) -> torch.Tensor:
    joiner = Joiner(overlap)
    return torch.cat([joiner.push(blocks), joiner.finish()], dim=-1)


@given(n_samples=st.integers(1, 4 * BLOCK_SIZE), overlap=OVERLAPS)
def test_joining_the_blocks_of_a_waveform_restores_it(n_samples: int, overlap: int) -> None:
    waveform = noise(2, n_samples)
    again = join(divided(waveform, overlap), overlap)
    assert again.shape == (2, n_samples + -n_samples % BLOCK_SIZE)
    torch.testing.assert_close(again[:, :n_samples], waveform, atol=1e-6, rtol=0)
    assert (again[:, n_samples:] == 0).all()  # zeros complete the last block


@given(n_samples=st.integers(1, 10 * BLOCK_SIZE))
def test_every_sample_is_in_some_block(n_samples: int) -> None:
    waveform = torch.arange(1, n_samples + 1, dtype=torch.float64)
    assert divided(waveform).sum() == waveform.sum()


@given(overlap=OVERLAPS)
def test_windows_are_symmetric_and_power_complementary(overlap: int) -> None:
    gain = window(BLOCK_SIZE, overlap, torch.zeros(0, dtype=torch.float64))
    power = torch.zeros(3 * BLOCK_SIZE + overlap, dtype=torch.float64)
    for n in range(3):
        power[n * BLOCK_SIZE : (n + 1) * BLOCK_SIZE + overlap] += gain**2
    inside = power[overlap : 3 * BLOCK_SIZE]
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-12, rtol=0)
    torch.testing.assert_close(gain, gain.flip(0), atol=1e-12, rtol=0)


@given(overlap=OVERLAPS, bounds=st.lists(st.integers(1, 6), max_size=3))
def test_a_stream_of_blocks_joins_as_all_at_once(overlap: int, bounds: list[int]) -> None:
    blocks = noise(1, 7, BLOCK_SIZE + overlap)
    joiner = Joiner(overlap)
    pieces = [joiner.push(blocks[:, a:b]) for a, b in pairwise([0, *sorted(set(bounds)), 7])]
    assert torch.equal(torch.cat([*pieces, joiner.finish()], dim=-1), join(blocks, overlap))


def test_an_excerpt_from_the_middle_brings_its_own_neighbours() -> None:
    overlap = 1000
    waveform = noise(6 * BLOCK_SIZE)
    middle = waveform[2 * BLOCK_SIZE - overlap // 2 : 4 * BLOCK_SIZE + overlap // 2]
    again = join(to_blocks(middle, BLOCK_SIZE, overlap), overlap)
    torch.testing.assert_close(again, waveform[2 * BLOCK_SIZE : 4 * BLOCK_SIZE], atol=1e-6, rtol=0)


def test_an_overlap_makes_a_step_at_the_edge_a_cross_fade() -> None:
    blocks = torch.cat([torch.full((1, BLOCK_SIZE + 1000), 0.5), torch.full((1, BLOCK_SIZE + 1000), -0.5)])
    assert join(blocks[:, :BLOCK_SIZE]).diff().abs().max() == 1
    assert join(blocks, 1000).diff().abs().max() < 0.01


@pytest.mark.parametrize("overlap", [0, 600])
def test_silence_stays_silence(overlap: int) -> None:
    assert not join(divided(torch.zeros(30_000), overlap), overlap).any()
