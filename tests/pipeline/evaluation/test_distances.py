"""Distances against closed forms and the textbook's way, their extrapolation and intervals against many random sets."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation.distances import (
    N_REPLICATES,
    Gaussian,
    KernelDistance,
    distances_of,
    extrapolated_frechet,
    frechet,
    gap_closed,
    median_distance,
)
from pipeline.evaluation.statistics import bootstrap


def clips(
    seed: int,
    n_clips: int,
    dim: int = 8,
    *,
    mean: float = 0.0,
    scale: float = 1.0,
    n_vectors: int = 5,
    shared: float = 0.0,
) -> np.ndarray:
    """Random clips of Gaussian vectors; `shared` is the part of their variance that a clip's vectors have in common."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(n_clips, 1, dim)), rng.normal(size=(n_clips, n_vectors, dim))
    return mean + scale * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)


def distance(reference: np.ndarray, other: np.ndarray) -> float:
    """The Frechet distance of two sets."""
    return frechet(Gaussian.of(reference), Gaussian.of(other))


def resampled(reference: list[np.ndarray], other: list[np.ndarray]) -> float:
    return distance(np.array(reference), np.array(other))


def squared_mmd(reference: np.ndarray, other: np.ndarray) -> float:
    return KernelDistance(reference, other).squared_mmd()


def textbook(reference: np.ndarray, other: np.ndarray) -> float:
    """The Frechet distance as commonly computed, with a root of the covariances' product."""
    a, b = (vectors.reshape(-1, vectors.shape[2]) for vectors in (reference, other))
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root))


def test_frechet_of_two_gaussians_is_the_closed_form() -> None:
    # Covariances 1 and 1.5^2 times the identity: dim (1.5 - 1)^2, plus dim 0.5^2 for the means. 40 000 vectors.
    found = distance(clips(0, 8_000), clips(1, 8_000, mean=0.5, scale=1.5))
    assert found == pytest.approx(8 * 0.25 + 8 * 0.25, rel=0.02)


@pytest.mark.parametrize("dim", [1, 8, 30])
def test_frechet_agrees_with_the_textbook(dim: int) -> None:
    rng = np.random.default_rng(0)
    reference, other = (clips(seed, 40, dim) @ rng.normal(size=(dim, dim)) for seed in (0, 1))
    if dim > 1:
        assert distance(reference, other) == pytest.approx(textbook(reference, other), rel=1e-6)
    assert distance(reference, other) == pytest.approx(distance(other, reference), rel=1e-9)


def test_one_dimension_by_hand() -> None:
    # Standard deviations 1 and 3, means 0 and 5: 5^2 + (3 - 1)^2.
    reference, other = np.array([[[-1.0], [0.0], [1.0]]]), np.array([[[2.0], [5.0], [8.0]]])
    assert distance(reference, other) == pytest.approx(29.0)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 40), st.integers(0, 3), st.floats(1e-6, 1e6))
def test_never_negative_never_complex(n: int, m: int, dim: int, rank: int, scale: float) -> None:
    rng = np.random.default_rng(n * m * dim)
    plane = rng.normal(size=(rank, dim))  # fewer dimensions than the space has; of rank 0 all vectors are one
    reference, other = (scale * (rng.normal(size=(size, 1, rank)) @ plane) for size in (n, m))
    assert 0.0 <= distance(reference, other) < np.inf
    assert abs(squared_mmd(reference, other)) <= 2.0
    assert distance(reference, reference) <= 1e-9 * (np.square(reference).sum() + np.square(other).sum())


@pytest.mark.parametrize("seed", range(4))
def test_a_samples_distances_are_those_of_its_clips(seed: int) -> None:
    reference, other = (
        clips(1, 10, 6, mean=100.0, n_vectors=3),
        clips(2, 10, 6, mean=100.5, scale=2.0, n_vectors=3),
    )
    rng = np.random.default_rng(seed)
    ours, theirs = rng.integers(10, size=(2, 10))
    found = frechet(Gaussian.of(reference, ours), Gaussian.of(other, theirs))
    assert found == pytest.approx(distance(reference[ours], other[theirs]), rel=1e-6)
    kernel = KernelDistance(reference, other)
    ours, theirs = np.arange(10), rng.permutation(10)[:7]  # all of the reference, as its bandwidth is kept
    assert kernel.squared_mmd(ours, theirs) == pytest.approx(squared_mmd(reference, other[theirs]), abs=1e-9)


def test_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    values = [squared_mmd(clips(2 * n, 12, shared=0.5), clips(2 * n + 1, 12, shared=0.5)) for n in range(100)]
    assert np.mean(values) == pytest.approx(0.0, abs=3 * np.std(values) / 10)
    assert min(values) < 0.0 < max(values)


def test_kernel_distance_distinguishes_distributions() -> None:
    same = [squared_mmd(clips(2 * n, 20), clips(2 * n + 1, 20)) for n in range(20)]
    shifted = [squared_mmd(clips(2 * n, 20), clips(2 * n + 1, 20, mean=0.5)) for n in range(20)]
    wider = [squared_mmd(clips(2 * n, 20), clips(2 * n + 1, 20, scale=1.5)) for n in range(20)]
    assert min(shifted) > max(same)
    assert min(wider) > max(same)


def test_kernel_distance_is_the_sum_of_pairs() -> None:
    reference, other = clips(0, 4, 3, n_vectors=2), clips(1, 3, 3, n_vectors=2)
    width = median_distance(reference)

    def similarity(a: np.ndarray, b: np.ndarray) -> float:
        pairs = [(x, y) for i, c in enumerate(a) for j, d in enumerate(b) for x in c for y in d if a is not b or i != j]
        return float(np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * width**2)) for x, y in pairs]))

    wanted = similarity(reference, reference) + similarity(other, other) - 2 * similarity(reference, other)
    assert squared_mmd(reference, other) == pytest.approx(wanted, rel=1e-12)


def test_a_clip_sampled_twice_does_not_resemble_itself() -> None:
    reference = clips(1, 10, 6, n_vectors=3)
    kernel, rest = KernelDistance(reference, reference), np.arange(5, 10)
    found, once = kernel.squared_mmd(np.repeat(np.arange(5), 2), rest), kernel.squared_mmd(np.arange(5), rest)
    assert found == pytest.approx(once, abs=0.02)  # pairs of different clips weigh the same


def test_the_bandwidth_is_the_median_distance() -> None:
    assert median_distance(np.array([[[0.0, 0.0]], [[3.0, 4.0]], [[6.0, 8.0]]])) == pytest.approx(5.0)
    assert median_distance(np.ones((3, 2, 4))) == 1.0


@pytest.mark.parametrize("dim", [10, 60, 200])
def test_extrapolation_is_nearer_to_the_truth(dim: int) -> None:
    truth = dim * (1.3 - 1.0) ** 2 + dim * 0.1**2
    sets = [(clips(2 * n, 24, dim), clips(2 * n + 1, 24, dim, mean=0.1, scale=1.3)) for n in range(5)]
    plain = np.mean([distance(*pair) for pair in sets])
    found = [extrapolated_frechet(*pair, seed=0)[0] for pair in sets]
    assert abs(np.mean(found) - truth) < 0.7 * abs(plain - truth)


def test_extrapolation_of_one_distribution_is_zero() -> None:
    sets = [(clips(2 * n, 64, 4), clips(2 * n + 1, 64, 4)) for n in range(20)]
    found = [extrapolated_frechet(*pair, seed=0)[0] for pair in sets]
    assert np.mean(found) < 0.4 * np.mean([distance(*pair) for pair in sets])
    assert min(found) == 0.0


def test_extrapolation_knows_its_error() -> None:
    reference, other = clips(0, 40), clips(1, 40, mean=1.0)
    found = [extrapolated_frechet(reference, other, seed=seed) for seed in range(12)]
    errors = [error for _, error in found]
    assert 0.0 < max(errors) < 0.1 * found[0][0]
    assert np.std([value for value, _ in found]) == pytest.approx(np.mean(errors), rel=0.6)


def test_where_there_is_no_bias_the_line_is_flat() -> None:
    value, error = extrapolated_frechet(clips(0, 40, 2), clips(1, 40, 2, mean=100.0), seed=0)
    assert value == pytest.approx(2 * 100.0**2, rel=0.01)
    assert error < 0.002 * value


def test_the_interval_is_as_wide_as_the_truth_varies() -> None:
    sets = [(clips(2 * n, 30, 3, shared=0.5), clips(2 * n + 1, 30, 3, shared=0.5, mean=1.0)) for n in range(60)]
    truths = [distance(*pair) for pair in sets]
    intervals = [bootstrap(resampled, *pair, n_replicates=100, seed=n) for n, pair in enumerate(sets)]
    widths = [each.high - each.low for each in intervals]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(truths), rel=0.25)
    assert np.mean([each.low < np.mean(truths) < each.high for each in intervals]) > 0.85


def test_vectors_of_a_clip_do_not_pass_for_clips() -> None:
    one, other = clips(0, 20, 3, shared=0.9), clips(1, 20, 3, shared=0.9, mean=1.0)
    whole = bootstrap(resampled, one, other)
    alone = bootstrap(resampled, *(vectors.reshape(-1, 1, 3) for vectors in (one, other)))
    assert whole.high - whole.low > 1.5 * (alone.high - alone.low)


def test_gap_closed() -> None:
    assert gap_closed(np.array([100.0, 55.0, 10.0, 120.0]), 0, 2) == pytest.approx([0.0, 50.0, 100.0, -100 * 20 / 90])
    rows = np.array([[10.0, 5.0, 10.0], [np.nan, 5.0, 1.0], [4.0, 2.0, 0.0]])
    assert gap_closed(rows, 0, 2) == pytest.approx(np.array([[np.nan] * 3, [np.nan] * 3, [0, 50, 100]]), nan_ok=True)


def embedded(seed: int, shift: float = 0.0, scale: float = 1.0) -> list[np.ndarray]:
    return list(clips(seed, 10, 6, mean=100 + shift, scale=scale, n_vectors=3).astype(np.float32))


def test_gaps_have_their_ends_and_their_middle() -> None:
    systems = {"far": embedded(2, 4.0), "real": embedded(3), "classic": embedded(4, 3.0), "half": embedded(5, 1.5)}
    steps: list[int] = []
    both = {name: {"musicnn": each, "aisfx": each} for name, each in systems.items()}
    reference = {"musicnn": embedded(1), "aisfx": embedded(1)}
    found = distances_of(reference, both, seed=0, advanced=steps.append)
    assert sum(steps) == N_REPLICATES + len(systems)
    assert found["classic"]["gap_closed"].value == 0.0
    assert (found["classic"]["gap_closed"].low, found["classic"]["gap_closed"].high) == (0.0, 0.0)
    assert found["real"]["gap_closed"].value == pytest.approx(100)
    assert found["far"]["gap_closed"].value < -30
    half = found["half"]["gap_closed"]
    assert half.value == pytest.approx(75, abs=8)  # a distance grows with the square of the shift
    assert half.low < half.value < half.high
    assert half.high - half.low < 40
    for name, each in systems.items():
        sets = [np.array(vectors, np.float64) for vectors in (embedded(1), each)]
        assert found[name]["fd_aisfx"].value == pytest.approx(textbook(*sets), rel=1e-5)
        assert found[name]["mmd_aisfx"].value == pytest.approx(max(0, squared_mmd(*sets)))
    assert found["real"]["fd_musicnn_extrapolated"].value < found["real"]["fd_musicnn"].value
    assert found["half"]["fd_musicnn_extrapolated"].value == pytest.approx(6 * 1.5**2, rel=0.25)  # |shift|^2, in truth
    assert found == distances_of(reference, both, seed=0, advanced=lambda _: None)
    others = distances_of(reference, both, seed=1, advanced=lambda _: None)
    for measure in ("gap_closed", "fd_aisfx", "fd_aisfx_extrapolated", "mmd_aisfx"):
        assert others["half"][measure] != found["half"][measure]


def test_without_a_gap_none_is_closed() -> None:
    both = {name: {"musicnn": embedded(n, n), "aisfx": embedded(n, n)} for n, name in enumerate(["classic", "real"])}
    found = distances_of({"musicnn": embedded(9), "aisfx": embedded(9)}, both, seed=0, advanced=lambda _: None)
    assert found["real"]["gap_closed"].value is None
    assert found["classic"]["gap_aisfx"].value is None
    assert found["real"]["fd_aisfx"].value > 1
    few = {name: {e: vectors[:7] for e, vectors in each.items()} for name, each in both.items()}
    found = distances_of({e: embedded(9)[:7] for e in ("musicnn", "aisfx")}, few, seed=0, advanced=lambda _: None)
    assert found["real"]["fd_aisfx_extrapolated"].value is None  # too few clips
