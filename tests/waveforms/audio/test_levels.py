"""Levels against the standards' own test signals, and an interpolation that shares no code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import resample

from tests.pipeline.evaluation.playing import playing
from waveforms import SAMPLE_RATE
from waveforms.audio.levels import LevelMeter, measure_levels


def tone(turns_per_sample: float, phase: float, gain: float = 1.0) -> np.ndarray:
    """A second of a sine, faded in and out so that it has no edges."""
    n = np.arange(SAMPLE_RATE)
    fade = np.minimum(np.minimum(n, n[::-1]) / 2_000, 1)
    return (gain * fade * np.sin(2 * np.pi * turns_per_sample * n + phase)).astype(np.float32)


# EBU Tech 3341, cases 15 to 19: the true peak is read within +0.2 and -0.4 dB.
@pytest.mark.parametrize(
    ("turns", "degrees", "gain", "true_peak"),
    [
        (1 / 4, 0, 0.5, -6.0),
        (1 / 4, 45, 0.5, -6.0),
        (1 / 6, 60, 0.5, -6.0),
        (1 / 8, 67.5, 0.5, -6.0),
        (1 / 4, 45, 1.41, 3.0),
    ],
)
def test_true_peak_of_the_broadcasters_tones(turns: float, degrees: float, gain: float, true_peak: float) -> None:
    levels = measure_levels(tone(turns, np.radians(degrees), gain))
    assert true_peak - 0.4 <= levels.true_peak <= true_peak + 0.2


def test_what_lies_between_samples_is_seen() -> None:
    waveform = tone(1 / 4, np.pi / 4)
    levels = measure_levels(waveform)
    assert 20 * np.log10(np.abs(waveform).max()) == pytest.approx(-3.01, abs=0.01)  # of samples
    assert levels.true_peak == pytest.approx(0.0, abs=0.4)
    assert levels.n_clipped == 0


@pytest.mark.parametrize("seed", range(3))
def test_true_peak_agrees_with_an_interpolation_by_fft(seed: int) -> None:
    waveform = playing(seed, 3)
    waveform *= 0.9 / np.abs(waveform).max()
    between = 20 * np.log10(np.abs(resample(waveform.astype(np.float64), 8 * len(waveform))).max())
    levels = measure_levels(waveform)
    assert levels.true_peak == pytest.approx(between, abs=0.3)
    assert levels.true_peak >= 20 * np.log10(0.9) - 1e-4


def test_loudness_is_the_standards() -> None:
    # ITU-R BS.1770-4, section 2: a 0 dB FS 997 Hz sine on one channel reads -3.01 LKFS.
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * SAMPLE_RATE) / SAMPLE_RATE)
    levels = measure_levels(sine.astype(np.float32))
    assert levels.loudness == pytest.approx(-3.01, abs=0.01)
    assert levels.seconds == 3.0


def test_clipped_samples_are_counted() -> None:
    waveform = playing(0, 2)
    waveform *= 0.9 / np.abs(waveform).max()
    assert measure_levels(waveform).n_clipped == 0
    waveform[100:120] = 32767 / 32768  # the largest 16-bit number
    waveform[500:517] = -1.2
    assert measure_levels(waveform).n_clipped == 37


@given(st.lists(st.integers(0, SAMPLE_RATE), max_size=5))
def test_pieces_measure_as_the_whole(bounds: list[int]) -> None:
    waveform = tone(0.23, 0.4, 0.9)
    meter = LevelMeter()
    for piece in np.split(waveform, sorted(bounds)):
        meter.add(piece)
    whole, pieces = measure_levels(waveform), meter.levels()
    assert (pieces.n_clipped, pieces.seconds) == (whole.n_clipped, whole.seconds)
    assert (pieces.true_peak, pieces.loudness) == pytest.approx((whole.true_peak, whole.loudness), abs=1e-9)


def test_the_last_samples_ring_on() -> None:
    ending = np.zeros(1_000, np.float32)
    ending[-2:] = 0.9  # between two equal samples, the waveform rises above both
    assert measure_levels(ending).true_peak > 20 * np.log10(0.9) + 0.5


@pytest.mark.parametrize("n_samples", [0, 1, SAMPLE_RATE])
def test_silence_has_no_level(n_samples: int) -> None:
    levels = measure_levels(np.zeros(n_samples, np.float32))
    assert (levels.loudness, levels.true_peak) == (-np.inf, -np.inf)
    assert levels.n_clipped == 0
