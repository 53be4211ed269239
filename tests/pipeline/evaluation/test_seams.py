"""Clicks and steps that were planted are found where they are; clean playing has none."""

import numpy as np
import pytest

from pipeline.evaluation.artifacts import CLICK, NEIGHBOURHOOD, measure_seams, relative_steps
from tests.pipeline.evaluation.playing import playing
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return playing(0, 10)


def local_slew(waveform: np.ndarray, sample: int) -> float:
    """RMS of the steps around a sample, taken the plain way."""
    before = np.diff(waveform[sample - NEIGHBOURHOOD : sample])
    after = np.diff(waveform[sample : sample + NEIGHBOURHOOD])
    return float(np.sqrt(max(np.mean(before**2), np.mean(after**2))))


@pytest.mark.parametrize("seed", range(4))
def test_clean_playing_has_no_click_and_no_seam(seed: int) -> None:
    seams = measure_seams(playing(seed, 10))
    assert seams.clicks == ()
    assert seams.largest_step < CLICK - 1
    assert abs(seams.edge_z) < 4
    assert (seams.seconds, seams.clicks_per_minute) == (10.0, 0.0)


@pytest.mark.parametrize("sign", [-1, 1])
def test_clicks_of_eight_times_the_local_slew_are_found(clean: np.ndarray, sign: int) -> None:
    waveform = clean.copy()
    places = np.random.default_rng(1).integers(0, 9_000, 40) + 11_000 * np.arange(40)  # never two at once
    places = places[places > 2 * NEIGHBOURHOOD]
    for place in places:
        waveform[place] += sign * 8 * local_slew(clean, place)
    found = np.array(measure_seams(waveform).clicks) * SAMPLE_RATE
    hits = [np.min(np.abs(found - place)) <= 2 for place in places]
    assert np.mean(hits) >= 0.95
    assert len(found) <= len(places)


def test_steps_at_the_edges_are_told_from_steps_elsewhere(clean: np.ndarray) -> None:
    offsets = np.random.default_rng(2).choice([-1, 1], len(clean) // BLOCK_SIZE)
    slew = np.sqrt(np.mean(np.diff(clean) ** 2))
    stepped = clean + np.repeat(2 * slew * offsets, BLOCK_SIZE).astype(np.float32)
    seams = measure_seams(stepped)
    assert seams.edge_excess > 6
    assert seams.edge_z > 8
    shifted = measure_seams(stepped, first_edge=BLOCK_SIZE // 2)
    assert abs(shifted.edge_z) < 4


def test_blocks_that_do_not_fit_click_at_their_edges(clean: np.ndarray) -> None:
    shuffled = clean.reshape(-1, BLOCK_SIZE)[np.random.default_rng(3).permutation(40)].ravel()
    seams = measure_seams(shuffled)
    assert len(seams.clicks) > 10
    edges = np.arange(1, 40) * BLOCK_SIZE / SAMPLE_RATE
    at_edge = [np.min(np.abs(edges - click)) < 1e-3 for click in seams.clicks]
    assert all(at_edge)


def test_a_blow_after_silence_is_no_click() -> None:
    rng = np.random.default_rng(4)
    blow = np.zeros(SAMPLE_RATE, np.float32)
    blow[20_000:] = 0.3 * rng.normal(size=24_100) * np.exp(-np.arange(24_100) / 5_000)
    assert measure_seams(blow).clicks == ()
    impulse = np.zeros(SAMPLE_RATE, np.float32)
    impulse[20_000] = 0.3
    assert measure_seams(impulse).clicks == (20_000 / SAMPLE_RATE,)


def test_rounding_in_silence_is_no_click() -> None:
    rounded = np.zeros(SAMPLE_RATE, np.float32)
    rounded[::5_000] = 2.0**-15
    assert measure_seams(rounded).clicks == ()


def test_a_gain_changes_no_step(clean: np.ndarray) -> None:
    assert np.allclose(relative_steps(0.5 * clean), relative_steps(clean), rtol=1e-3)


@pytest.mark.parametrize("n_samples", [2, 100, SAMPLE_RATE])
def test_silence_is_seamless(n_samples: int) -> None:
    seams = measure_seams(np.zeros(n_samples, np.float32))
    assert (seams.edge_excess, seams.edge_z, seams.clicks, seams.largest_step) == (0.0, 0.0, (), 0.0)


def test_a_clip_of_one_sample_has_no_step() -> None:
    with pytest.raises(ValueError, match="a clip must have two samples or more and not 1"):
        measure_seams(np.zeros(1, np.float32))
