"""Loudness against pyloudnorm, the standard's own reference tone, and the physics of energy."""

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waveforms import SAMPLE_RATE
from waveforms.audio.loudness import LoudnessMeter


def measured(waveform: np.ndarray, bounds: tuple[int, ...] = ()) -> float:
    meter = LoudnessMeter()
    for piece in np.split(waveform, sorted(bounds)):
        meter.add(piece)
    return meter.integrated()


def oracle(waveform: np.ndarray) -> float:
    return pyloudnorm.Meter(SAMPLE_RATE, filter_class="DeMan").integrated_loudness(waveform)


def tone(frequency: float, seconds: float, *, gain: float = 1.0) -> np.ndarray:
    return gain * np.sin(2 * np.pi * frequency * np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


SIGNALS = {
    "noise": np.random.default_rng(0).normal(0, 0.1, 5 * SAMPLE_RATE),
    "low tone": tone(55, 4, gain=0.5),
    "loud then quiet": np.concatenate((tone(440, 3, gain=0.5), tone(440, 3, gain=0.01))),
    "a note amid silence": np.concatenate((np.zeros(2 * SAMPLE_RATE), tone(880, 1, gain=0.3), np.zeros(88_200))),
    "decay": tone(220, 6) * np.exp(-np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE),
}


def test_the_standards_reference_tone() -> None:
    # ITU-R BS.1770-4, section 2: a 0 dB FS 997 Hz sine on one channel reads -3.01 LKFS.
    assert measured(tone(997, 3)) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("name", SIGNALS)
def test_agrees_with_pyloudnorm(name: str) -> None:
    assert measured(SIGNALS[name]) == pytest.approx(oracle(SIGNALS[name]), abs=0.001)


@pytest.mark.parametrize("name", SIGNALS)
def test_agrees_with_the_common_approximation(name: str) -> None:
    # pyloudnorm's default filter misses the standard's coefficients by up to 0.05 dB.
    assert measured(SIGNALS[name]) == pytest.approx(
        pyloudnorm.Meter(SAMPLE_RATE).integrated_loudness(SIGNALS[name]), abs=0.1
    )


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(sorted(SIGNALS)), st.lists(st.integers(0, 5 * SAMPLE_RATE), max_size=6))
def test_the_size_of_pieces_does_not_matter(name: str, bounds: list[int]) -> None:
    assert measured(SIGNALS[name], tuple(bounds)) == pytest.approx(measured(SIGNALS[name]), abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(st.floats(-30, 6))
def test_a_gain_in_decibels_is_a_gain_in_loudness(gain: float) -> None:
    waveform = SIGNALS["noise"]
    assert measured(waveform * 10 ** (gain / 20)) - measured(waveform) == pytest.approx(gain, abs=1e-6)


def test_silence_and_nothing_have_no_loudness() -> None:
    assert measured(np.zeros(SAMPLE_RATE)) == -np.inf
    assert measured(np.zeros(0)) == -np.inf
    assert measured(tone(997, 1, gain=10 ** (-80 / 20))) == -np.inf  # below the absolute gate of -70 LUFS


def test_shorter_than_a_gating_block_is_measured_as_one() -> None:
    assert measured(tone(997, 0.35)) == pytest.approx(-3.01, abs=0.05)


def test_peak_and_length() -> None:
    meter = LoudnessMeter()
    meter.add(np.array([0.1, -0.7, 0.2], np.float32))
    meter.add(np.array([0.5], np.float32))
    assert meter.peak == pytest.approx(0.7)
    assert meter.n_samples == 4
