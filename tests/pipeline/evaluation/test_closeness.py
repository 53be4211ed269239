"""Resampled distances are the distances of the resampled; gaps are 0 and 1 at their ends."""

import numpy as np
import pytest

from pipeline.evaluation.closeness import N_REPLICATES, distances_of
from pipeline.evaluation.frechet import frechet
from pipeline.evaluation.kernel import median_distance, squared_mmd
from pipeline.evaluation.resampling import Resampler

N_CLIPS, N_EACH, DIM = 10, 3, 6


def clips(seed: int, shift: float = 0.0, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [(100 + shift + scale * rng.normal(size=(N_EACH, DIM))).astype(np.float32) for _ in range(N_CLIPS)]


@pytest.mark.parametrize("seed", range(4))
def test_a_draws_distances_are_those_of_its_clips(seed: int) -> None:
    reference, other = clips(1), clips(2, 0.5, 2.0)
    resampler = Resampler(reference, {"other": other})
    ours, theirs = np.random.default_rng(seed).integers(N_CLIPS, size=(2, N_CLIPS))
    wanted = frechet([reference[n] for n in ours], [other[n] for n in theirs])
    assert resampler.frechet("other", ours, theirs) == pytest.approx(wanted, rel=1e-6)
    ours, theirs = np.random.default_rng(seed).permuted(np.tile(np.arange(N_CLIPS), (2, 1)), axis=1)[:, :7]
    width = median_distance(reference)
    wanted = squared_mmd([reference[n] for n in ours], [other[n] for n in theirs], bandwidth=width)
    assert resampler.squared_mmd("other", ours, theirs) == pytest.approx(wanted, abs=1e-6)


def test_a_clip_drawn_twice_does_not_resemble_itself() -> None:
    reference = clips(1)
    draw = np.repeat(np.arange(5), 2)
    found = Resampler(reference, {"same": reference}).squared_mmd("same", draw, np.arange(5, 10))
    once = Resampler(reference, {"same": reference}).squared_mmd("same", np.arange(5), np.arange(5, 10))
    assert found == pytest.approx(once, abs=0.02)  # pairs of different clips weigh the same


def test_gaps_have_their_ends_and_their_middle() -> None:
    systems = {"far": clips(2, 4.0), "real": clips(3), "classic": clips(4, 3.0), "half": clips(5, 1.5)}
    told: list[int] = []
    both = {name: {"musicnn": each, "aisfx": each} for name, each in systems.items()}
    reference = {"musicnn": clips(1), "aisfx": clips(1)}
    found = distances_of(reference, both, seed=0, advanced=told.append)
    assert sum(told) == N_REPLICATES + len(systems)
    assert found["classic"]["gap_closed"].value == 0.0
    assert (found["classic"]["gap_closed"].low, found["classic"]["gap_closed"].high) == (0.0, 0.0)
    assert found["real"]["gap_closed"].value == pytest.approx(100)
    assert found["far"]["gap_closed"].value < -30
    half = found["half"]["gap_closed"]
    assert half.value == pytest.approx(75, abs=8)  # a distance grows with the square of the shift
    assert half.low < half.value < half.high
    assert half.high - half.low < 40
    for name, each in systems.items():
        assert found[name]["fd_aisfx"].value == pytest.approx(frechet(clips(1), each))
        assert found[name]["mmd_aisfx"].value == pytest.approx(max(0, squared_mmd(clips(1), each)))
    assert found["real"]["fd_musicnn_without_end"].value < found["real"]["fd_musicnn"].value
    assert found["half"]["fd_musicnn_without_end"].value == pytest.approx(6 * 1.5**2, rel=0.25)  # |shift|^2, in truth


def test_without_a_gap_none_is_closed() -> None:
    both = {name: {"musicnn": clips(n, n), "aisfx": clips(n, n)} for n, name in enumerate(["classic", "real"])}
    found = distances_of({"musicnn": clips(9), "aisfx": clips(9)}, both, seed=0, advanced=lambda n: None)
    assert found["real"]["gap_closed"].value is None
    assert found["classic"]["gap_aisfx"].value is None
    assert found["real"]["fd_aisfx"].value > 1
