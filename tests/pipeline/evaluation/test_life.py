"""What has died is seen to have, from when on, and of what; playing lives, and a last chord that rings is no drone."""

from dataclasses import fields

import numpy as np
import pytest

from pipeline.evaluation.life import Life, measure_life
from tests.conftest import resynthesised
from tests.pipeline.evaluation.playing import key, playing
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE

N_CLIP = 40 * BLOCK_SIZE  # 10 s
N_ALIVE = 16 * BLOCK_SIZE  # 4 s
TIME = np.arange(N_CLIP) / SAMPLE_RATE


def ends_in(ending: np.ndarray) -> np.ndarray:
    """Four seconds of playing, then something else."""
    return np.concatenate([playing(0, 4), ending[: N_CLIP - N_ALIVE]]).astype(np.float32)


def noise(n_samples: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.01, n_samples)


ENDINGS = {
    "silence": ("silence", np.zeros(N_CLIP)),
    "hum": ("drone", 0.05 * np.sin(2 * np.pi * 110 * TIME) + 0.02 * np.sin(2 * np.pi * 277 * TIME)),
    "noise": ("buzz", noise(N_CLIP)),
    "one block for ever": ("buzz", np.tile(noise(BLOCK_SIZE), 40)),
}


@pytest.mark.parametrize("seed", range(4))
def test_playing_is_alive(seed: int) -> None:
    life = measure_life(playing(seed, 10))
    assert life.collapse is None
    assert life.collapse_at == 10.0
    assert (life.silent_share, life.still_share, life.loop_share, life.loop_period) == (0, 0, 0, 0)
    assert 0 < life.flatness < 0.05
    assert 0.02 < life.flux < 0.5


@pytest.mark.parametrize("name", ENDINGS)
def test_collapse_is_named_and_timed(name: str) -> None:
    kind, ending = ENDINGS[name]
    life = measure_life(ends_in(ending))
    assert life.collapse == kind
    assert life.collapse_at == pytest.approx(4.0, abs=0.5)
    assert life.silent_share == pytest.approx(0.6 if kind == "silence" else 0.0, abs=0.05)
    assert life.still_share == pytest.approx(0.0 if kind == "silence" else 0.6, abs=0.05)
    assert life.loop_share == 0.0  # what does not change goes round in no circle


def test_what_recovers_has_not_collapsed() -> None:
    hum = ENDINGS["hum"][1][: 12 * BLOCK_SIZE]
    life = measure_life(np.concatenate([playing(0, 4), hum, playing(1, 3)]).astype(np.float32))
    assert life.collapse is None
    assert life.still_share == pytest.approx(0.3, abs=0.05)


def test_a_last_chord_that_rings_is_no_drone() -> None:
    chord = 0.1 * sum(key(pitch) for pitch in (48, 60, 64, 67))
    life = measure_life(np.concatenate([playing(0, 4), chord]).astype(np.float32))
    assert (life.collapse, life.still_share) == (None, 0.0)


@pytest.mark.parametrize("period", [4 * BLOCK_SIZE, 54_552, 9 * BLOCK_SIZE])
def test_loops_are_found_with_their_period(period: int) -> None:
    excerpt = playing(5, 4)[:period]
    life = measure_life(np.tile(excerpt, 10)[:N_CLIP])
    assert life.loop_share == pytest.approx(1 - period / N_CLIP, abs=0.1)
    assert life.loop_period * SAMPLE_RATE == pytest.approx(period, abs=735)
    assert life.collapse is None


@pytest.mark.parametrize("period", [12 * SAMPLE_RATE, 755_555])
def test_loops_are_found_that_last_longer_than_a_short_clip(period: int) -> None:
    n_clip = 60 * SAMPLE_RATE
    life = measure_life(np.concatenate([playing(6, 12), np.tile(playing(5, 20)[:period], 5)])[:n_clip])
    assert life.loop_share == pytest.approx(1 - (12 + period / SAMPLE_RATE) / 60, abs=0.1)
    assert life.loop_period * SAMPLE_RATE == pytest.approx(period, abs=735)
    assert measure_life(playing(7, 60)).loop_share == 0


def test_minutes_that_go_round_and_then_drone() -> None:
    """Five of the ten that clips may have: more would show the same and take long."""
    hum = 0.05 * np.sin(2 * np.pi * 110 * np.arange(90 * SAMPLE_RATE) / SAMPLE_RATE)
    turns = np.tile(playing(5, 14), 7)[: 90 * SAMPLE_RATE]
    life = measure_life(np.concatenate([playing(0, 120), turns, hum]).astype(np.float32))
    assert life.collapse == "drone"
    assert life.collapse_at == pytest.approx(210, abs=0.5)
    assert (life.still_share, life.silent_share) == pytest.approx((0.3, 0), abs=0.01)
    assert life.loop_share == pytest.approx((90 - 14) / 300, abs=0.02)
    assert life.loop_period == pytest.approx(14, abs=0.02)


def test_loops_are_found_through_phase_recovery() -> None:
    period = 54_552
    life = measure_life(resynthesised(np.tile(playing(5, 4)[:period], 10)[:N_CLIP]))
    assert life.loop_share > 0.5
    n_turns = life.loop_period * SAMPLE_RATE / period  # two turns are a period, too
    assert n_turns == pytest.approx(max(round(n_turns), 1), abs=0.02)


def test_the_drift_of_the_level_is_in_decibels_and_bounded() -> None:
    sine = np.sin(2 * np.pi * 441 * TIME)
    for factor, drift in [(0.1, -20.0), (0.0, -120 + 3.01)]:
        life = measure_life((sine * np.where(TIME < 5, 1.0, factor)).astype(np.float32))
        assert life.level_drift == pytest.approx(drift, abs=0.01)


def test_white_noise_is_flat_and_a_tone_is_not() -> None:
    # The mean logarithm of an exponentially distributed power lies Euler's constant below that of its mean.
    assert measure_life(noise(N_CLIP).astype(np.float32)).flatness == pytest.approx(np.exp(-np.euler_gamma), abs=0.02)
    tone = measure_life((0.1 * np.sin(2 * np.pi * 441 * TIME)).astype(np.float32))
    assert tone.flatness < 1e-6
    assert tone.flux < 1e-3


def test_silence_is_dead_from_the_beginning() -> None:
    life = measure_life(np.zeros(N_CLIP, np.float32))
    assert (life.collapse, life.collapse_at, life.silent_share) == ("silence", 0.0, 1.0)
    assert (life.level_drift, life.flux, life.flatness, life.loop_share) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("n_samples", [BLOCK_SIZE, BLOCK_SIZE + 1, 3 * BLOCK_SIZE - 1])
def test_short_clips_are_measured(n_samples: int) -> None:
    life = measure_life(playing(0, 1)[:n_samples])
    assert (life.collapse, life.collapse_at) == (None, n_samples / SAMPLE_RATE)


def test_less_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="a clip must have 11025 samples or more and not 11024"):
        measure_life(np.zeros(BLOCK_SIZE - 1, np.float32))


@pytest.fixture(scope="module")
def references() -> list[Life]:
    return [measure_life(playing(seed, 6)) for seed in range(20, 32)]


def test_playing_is_like_playing_and_a_buzz_is_not(references: list[Life]) -> None:
    names = [field.name for field in fields(Life) if field.type in (float, int, "float", "int")]
    assert len(names) > 5
    playing_on, buzz = measure_life(playing(99, 6)), measure_life(noise(6 * SAMPLE_RATE).astype(np.float32))
    for name in names:
        usual = [getattr(reference, name) for reference in references]
        away = abs(getattr(playing_on, name) - np.mean(usual))
        assert away <= 4 * np.std(usual), name
    flatness = [reference.flatness for reference in references]
    assert buzz.flatness > np.mean(flatness) + 10 * np.std(flatness)
    assert buzz.still_share > 0.0 == max(reference.still_share for reference in references)
