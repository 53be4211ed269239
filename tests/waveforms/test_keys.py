import pytest
import torch

from waveforms.bands import N_BANDS
from waveforms.keys import FRAMES_PER_SLICE, N_KEYS, hear_keys, with_neighbours


def bands(n_slices: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n_slices, FRAMES_PER_SLICE, N_BANDS, generator=generator) - 7


def test_a_slice_lies_between_its_neighbours() -> None:
    slices = bands(6)
    found = with_neighbours(slices)
    assert found.shape == (4, 15, N_BANDS)
    for n, around in enumerate(found):
        assert torch.equal(around, slices[n : n + 3].flatten(0, 1))
    assert torch.equal(with_neighbours(torch.stack([slices, slices + 1])), torch.stack([found, found + 1]))


def test_one_answer_a_slice_whatever_lies_around_the_three() -> None:
    slices = bands(9)
    found = hear_keys(slices)
    assert found.shape == (7, N_KEYS)
    assert set(found.unique().tolist()) <= {0.0, 1.0}
    for n in range(7):
        assert torch.equal(hear_keys(slices[n : n + 3])[0], found[n])


@pytest.mark.parametrize("gain", [-3.0, 2.0])
def test_how_loud_a_recording_is_changes_nothing(gain: float) -> None:
    slices = bands(50)
    assert torch.equal(hear_keys(slices + gain), hear_keys(slices))
