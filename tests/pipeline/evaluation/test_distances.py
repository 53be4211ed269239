"""Distances against closed forms and another library's way, extrapolation and bootstrap against many drawn sets."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.closeness import gap_closed
from pipeline.evaluation.extrapolation import frechet_without_end
from pipeline.evaluation.frechet import frechet
from pipeline.evaluation.intervals import bootstrap
from pipeline.evaluation.kernel import kernel, median_distance, squared_mmd
from pipeline.evaluation.sets import Clips, stacked


def draw(
    seed: int,
    n_clips: int,
    dim: int = 8,
    *,
    mean: float = 0.0,
    scale: float = 1.0,
    n_vectors: int = 5,
    shared: float = 0.0,
) -> list[np.ndarray]:
    """Draw clips of Gaussian vectors; `shared` is the part of their variance that a clip's vectors have in common."""
    rng = np.random.default_rng(seed)
    common, own = rng.normal(size=(n_clips, 1, dim)), rng.normal(size=(n_clips, n_vectors, dim))
    return list(mean + scale * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own))


def textbook(reference: Clips, other: Clips) -> float:
    """The Frechet distance as commonly computed, with a root of the covariances' product."""
    a, b = stacked(reference), stacked(other)
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    return float(np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b - 2 * root))


def test_frechet_of_two_gaussians_is_the_closed_form() -> None:
    # Covariances 1 and 1.5^2 times the identity: dim (1.5 - 1)^2, plus dim 0.5^2 for the means. 40 000 vectors.
    distance = frechet(draw(0, 8_000), draw(1, 8_000, mean=0.5, scale=1.5))
    assert distance == pytest.approx(8 * 0.25 + 8 * 0.25, rel=0.02)


@pytest.mark.parametrize("dim", [1, 8, 30])
def test_frechet_agrees_with_the_textbook(dim: int) -> None:
    rng = np.random.default_rng(0)
    reference, other = ([clip @ rng.normal(size=(dim, dim)) for clip in draw(seed, 40, dim)] for seed in (0, 1))
    if dim > 1:
        assert frechet(reference, other) == pytest.approx(textbook(reference, other), rel=1e-6)
    assert frechet(reference, other) == pytest.approx(frechet(other, reference), rel=1e-9)


def test_one_dimension_by_hand() -> None:
    # Standard deviations 1 and 3, means 0 and 5: 5^2 + (3 - 1)^2.
    assert frechet([np.array([[-1.0], [0.0], [1.0]])], [np.array([[2.0], [5.0], [8.0]])]) == pytest.approx(29.0)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(1, 40), st.integers(0, 3), st.floats(1e-6, 1e6))
def test_never_negative_never_complex(n: int, m: int, dim: int, rank: int, scale: float) -> None:
    rng = np.random.default_rng(n * m * dim)
    plane = rng.normal(size=(rank, dim))  # fewer dimensions than the space has; of rank 0 all vectors are one
    reference = [scale * (rng.normal(size=(1, rank)) @ plane).astype(np.float32) for _ in range(n)]
    other = [scale * (rng.normal(size=(1, rank)) @ plane).astype(np.float32) for _ in range(m)]
    for distance in (frechet(reference, other), kernel(reference, other)):
        assert isinstance(distance, float)
        assert 0.0 <= distance < np.inf
    power = np.square(stacked(reference)).sum() + np.square(stacked(other)).sum()
    assert frechet(reference, reference) <= 1e-9 * power
    assert kernel(reference, reference) == pytest.approx(0.0, abs=1e-9)


def test_kernel_distance_of_one_distribution_is_zero_on_average() -> None:
    values = [squared_mmd(draw(2 * n, 12, shared=0.5), draw(2 * n + 1, 12, shared=0.5)) for n in range(100)]
    assert np.mean(values) == pytest.approx(0.0, abs=3 * np.std(values) / 10)
    assert min(values) < 0.0 < max(values)
    assert np.mean([kernel(draw(0, 12), draw(1, 12))]) >= 0.0


def test_kernel_distance_tells_distributions_apart() -> None:
    same = [kernel(draw(2 * n, 20), draw(2 * n + 1, 20)) for n in range(20)]
    shifted = [kernel(draw(2 * n, 20), draw(2 * n + 1, 20, mean=0.5)) for n in range(20)]
    wider = [kernel(draw(2 * n, 20), draw(2 * n + 1, 20, scale=1.5)) for n in range(20)]
    assert min(shifted) > max(same)
    assert min(wider) > max(same)


def test_kernel_distance_is_the_sum_of_pairs() -> None:
    reference, other = draw(0, 4, 3, n_vectors=2), draw(1, 3, 3, n_vectors=2)

    def similarity(a: Clips, b: Clips) -> float:
        pairs = [(x, y) for i, c in enumerate(a) for j, d in enumerate(b) for x in c for y in d if a is not b or i != j]
        return float(np.mean([np.exp(-np.sum((x - y) ** 2) / (2 * 0.7**2)) for x, y in pairs]))

    wanted = similarity(reference, reference) + similarity(other, other) - 2 * similarity(reference, other)
    assert squared_mmd(reference, other, bandwidth=0.7) == pytest.approx(wanted, rel=1e-12)


def test_the_bandwidth_is_the_median_distance() -> None:
    clips = [np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([[6.0, 8.0]])]
    assert median_distance(clips) == pytest.approx(5.0)


@pytest.mark.parametrize("dim", [10, 60, 200])
def test_extrapolation_is_nearer_to_the_truth(dim: int) -> None:
    truth = dim * (1.3 - 1.0) ** 2 + dim * 0.1**2
    sets = [(draw(2 * n, 24, dim), draw(2 * n + 1, 24, dim, mean=0.1, scale=1.3)) for n in range(5)]
    plain = np.mean([frechet(*pair) for pair in sets])
    found = [frechet_without_end(*pair) for pair in sets]
    assert abs(np.mean([f.distance for f in found]) - truth) < 0.7 * abs(plain - truth)
    assert all(f.slope > 0.0 and f.r_squared > 0.9 for f in found)


def test_extrapolation_of_one_distribution_is_zero() -> None:
    sets = [(draw(2 * n, 64, 4), draw(2 * n + 1, 64, 4)) for n in range(20)]
    found = [frechet_without_end(*pair).distance for pair in sets]
    assert np.mean(found) < 0.4 * np.mean([frechet(*pair) for pair in sets])
    assert min(found) == 0.0


def test_extrapolation_tells_its_line() -> None:
    reference, other = draw(0, 40), draw(1, 40, mean=1.0)
    found = frechet_without_end(reference, other)
    assert found.n_clips[0] == 20
    assert found.n_clips[-1] == 40
    assert found.distances[-1] == pytest.approx(frechet(reference, other))
    assert found.distances == pytest.approx(found.distance + found.slope / found.n_clips, rel=0.02)
    assert 0.0 < found.error < 0.05 * found.distance


def test_where_there_is_no_bias_the_line_is_flat() -> None:
    found = frechet_without_end(draw(0, 40, 2), draw(1, 40, 2, mean=100.0))
    assert found.distance == pytest.approx(2 * 100.0**2, rel=0.01)
    assert found.r_squared < 0.9
    assert found.error < 0.001 * found.distance


def test_the_interval_is_as_wide_as_the_truth_varies() -> None:
    sets = [(draw(2 * n, 30, 3, shared=0.5), draw(2 * n + 1, 30, 3, shared=0.5, mean=1.0)) for n in range(60)]
    deviation = np.std([frechet(*pair) for pair in sets])
    intervals = [bootstrap(frechet, *pair, n_replicates=100, seed=n) for n, pair in enumerate(sets)]
    assert np.mean([i.deviation for i in intervals]) == pytest.approx(deviation, rel=0.25)
    middle = np.mean([frechet(*pair) for pair in sets])
    assert np.mean([i.low < middle < i.high for i in intervals]) > 0.85


def test_vectors_of_a_clip_do_not_pass_for_clips() -> None:
    clips, other = draw(0, 20, 3, shared=0.9), draw(1, 20, 3, shared=0.9, mean=1.0)
    alone, others_alone = ([vector[None] for clip in group for vector in clip] for group in (clips, other))
    assert bootstrap(frechet, clips, other).deviation > 1.5 * bootstrap(frechet, alone, others_alone).deviation


def test_an_interval_of_several_sets() -> None:
    def gap(classic: Clips, x: Clips, real: Clips, reference: Clips) -> float:
        return gap_closed(frechet(reference, classic), frechet(reference, x), frechet(reference, real))

    sets = [draw(0, 20, mean=2.0), draw(1, 20, mean=1.0), draw(2, 20), draw(3, 20)]
    interval = bootstrap(gap, *sets)
    assert interval.low < gap(*sets) < interval.high
    assert 0.6 < interval.low < interval.high < 0.9  # (4 - 1) / 4


def test_the_seed_decides() -> None:
    sets = draw(0, 20), draw(1, 20, mean=0.3)
    assert bootstrap(frechet, *sets, seed=3) == bootstrap(frechet, *sets, seed=3)
    assert bootstrap(frechet, *sets, seed=3) != bootstrap(frechet, *sets, seed=4)
    assert frechet_without_end(*sets, seed=3).distance == frechet_without_end(*sets, seed=3).distance
    assert frechet_without_end(*sets, seed=3).distance != frechet_without_end(*sets, seed=4).distance


def test_gap_closed() -> None:
    assert gap_closed(100.0, 100.0, 10.0) == 0.0
    assert gap_closed(100.0, 55.0, 10.0) == pytest.approx(0.5)
    assert gap_closed(100.0, 10.0, 10.0) == 1.0
    assert gap_closed(100.0, 120.0, 10.0) < 0.0
    with pytest.raises(EvaluationError, match="classic must be further away than real sound, and not 10 and 10"):
        gap_closed(10.0, 5.0, 10.0)
    with pytest.raises(EvaluationError, match="further away"):
        gap_closed(float("nan"), 5.0, 10.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: frechet([np.zeros((1, 3))], draw(0, 2, 3)), "a covariance needs two vectors or more, and not 1"),
        (lambda: frechet(draw(0, 3, 2), draw(0, 3, 4)), "one dimension to compare, and not 2 and 4"),
        (lambda: kernel(draw(0, 3, 2), draw(0, 3, 4)), "one dimension to compare, and not 2 and 4"),
        (lambda: frechet([], draw(0, 3)), r"a set must have clips of one dimension, and not \[\]"),
        (lambda: frechet(draw(0, 3), [np.full((3, 8), np.nan)]), "vectors must be finite to compare"),
        (lambda: kernel(draw(0, 1), draw(0, 3)), "a kernel distance needs two clips or more in each set, and not 1"),
        (lambda: frechet_without_end(draw(0, 7), draw(0, 7)), "one number of clips, 8 or more: 7, 7"),
        (lambda: frechet_without_end(draw(0, 9), draw(0, 8)), "one number of clips, 8 or more: 9, 8"),
        (
            lambda: bootstrap(frechet, draw(0, 9), draw(0, 1)),
            "an interval needs two clips or more in each set, and not 1",
        ),
    ],
)
def test_what_cannot_be_compared_is_told(call, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        call()
