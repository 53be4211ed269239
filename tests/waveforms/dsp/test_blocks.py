from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from waveforms import BLOCK_SIZE, n_blocks_of
from waveforms.dsp.blocks import Joiner, cut, extend, join, window

LAPS = st.one_of(st.sampled_from([0, 1, 2, BLOCK_SIZE - 1, BLOCK_SIZE]), st.integers(0, BLOCK_SIZE))


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@given(n_samples=st.integers(1, 4 * BLOCK_SIZE), lap=LAPS)
def test_joining_what_was_cut_gives_the_waveform_back(n_samples: int, lap: int) -> None:
    waveform = noise(2, n_samples)
    again = join(cut(extend(waveform, lap=lap), lap=lap), lap=lap)
    assert again.shape == (2, n_blocks_of(n_samples) * BLOCK_SIZE)
    torch.testing.assert_close(again[:, :n_samples], waveform, atol=1e-6, rtol=0)
    assert (again[:, n_samples:] == 0).all()  # the last block is completed with silence


@given(n_samples=st.integers(1, 10 * BLOCK_SIZE))
def test_every_sample_is_in_some_block(n_samples: int) -> None:
    waveform = torch.arange(1, n_samples + 1, dtype=torch.float64)
    blocks = cut(extend(waveform))
    assert blocks.sum() == waveform.sum()
    assert (n_blocks_of(n_samples) - 1) * BLOCK_SIZE < n_samples <= n_blocks_of(n_samples) * BLOCK_SIZE


@given(lap=LAPS)
def test_windows_are_power_complementary(lap: int) -> None:
    gain = window(lap, dtype=torch.float64)
    power = torch.zeros(3 * BLOCK_SIZE + lap, dtype=torch.float64)
    for n in range(3):
        power[n * BLOCK_SIZE : (n + 1) * BLOCK_SIZE + lap] += gain**2
    inside = power[lap : 3 * BLOCK_SIZE]
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-12, rtol=0)


@given(lap=LAPS, cuts=st.lists(st.integers(1, 6), max_size=3))
def test_a_stream_of_blocks_joins_as_all_at_once(lap: int, cuts: list[int]) -> None:
    blocks = noise(1, 7, BLOCK_SIZE + lap)
    joiner = Joiner(lap)
    bounds = [0, *sorted(set(cuts)), 7]
    pieces = [joiner.push(blocks[:, a:b]) for a, b in pairwise(bounds)]
    assert torch.equal(torch.cat([*pieces, joiner.finish()], dim=-1), join(blocks, lap=lap))


def test_a_window_from_the_middle_brings_its_own_neighbours() -> None:
    lap = 1000
    waveform = noise(6 * BLOCK_SIZE)
    middle = waveform[2 * BLOCK_SIZE - lap // 2 : 4 * BLOCK_SIZE + lap // 2]
    again = join(cut(middle, lap=lap), lap=lap)
    torch.testing.assert_close(again, waveform[2 * BLOCK_SIZE : 4 * BLOCK_SIZE], atol=1e-6, rtol=0)


def test_a_lap_turns_a_step_at_the_edge_into_a_cross_fade() -> None:
    blocks = torch.cat([torch.full((1, BLOCK_SIZE + 1000), 0.5), torch.full((1, BLOCK_SIZE + 1000), -0.5)])
    hard = join(blocks[:, :BLOCK_SIZE])
    lapped = join(blocks, lap=1000)
    assert hard.diff().abs().max() == 1
    assert lapped.diff().abs().max() < 0.01


@pytest.mark.parametrize("lap", [0, 600])
def test_silence_stays_silence(lap: int) -> None:
    assert not join(cut(extend(torch.zeros(30_000), lap=lap), lap=lap), lap=lap).any()
