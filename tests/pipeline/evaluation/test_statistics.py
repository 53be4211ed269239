"""Averages and intervals against closed forms; what is not there is not counted as 0."""

import numpy as np
import pytest

from pipeline.evaluation import statistics
from pipeline.evaluation.report import Value
from pipeline.evaluation.statistics import bootstrap, with_interval


def test_a_mean_has_the_interval_of_theory() -> None:
    numbers = np.random.default_rng(1).normal(5.0, 2.0, 400).tolist()
    found = statistics.mean([*numbers, None], seed=0)
    assert found.value == pytest.approx(np.mean(numbers))
    width = 1.96 * np.std(numbers) / 20
    assert (found.high - found.value, found.value - found.low) == pytest.approx((width, width), rel=0.1)


def test_the_interval_of_a_share_is_one_of_shares() -> None:
    for seed in range(20):
        rare = statistics.mean([100.0, *[0.0] * 31], seed=seed)
        assert 0.0 <= rare.low <= rare.value <= rare.high <= 100.0
    assert statistics.mean([0.0] * 8, seed=0) == Value(0.0, 0.0, 0.0)


def test_a_quotient_weighs_by_what_it_divides_by() -> None:
    assert statistics.quotient([(10.0, 1.0), (0.0, 4.0)], seed=0).value == 2.0
    assert statistics.quotient([(3.0, 0.0)], seed=0) == Value(None)
    found = statistics.quotient([(6.0, 2.0), (0.0, 0.0), (3.0, 1.0)], seed=0)
    assert (found.value, found.low, found.high) == pytest.approx((3.0, 3.0, 3.0))


def test_a_ratio_of_means_and_a_median() -> None:
    found = statistics.ratio_of_means([1.0, 3.0], [4.0, 4.0], seed=0)
    assert found.value == 0.5
    assert found.low == pytest.approx(0.25, abs=0.02)
    assert found.high == pytest.approx(0.75, abs=0.02)
    assert statistics.ratio_of_means([1.0], [0.0], seed=0) == Value(None)
    clips = [np.array([1.0, 2.0]), np.zeros(0), np.array([9.0])]
    assert statistics.median(clips, seed=0).value == 2.0
    assert statistics.median([np.zeros(0)], seed=0) == Value(None)


def test_an_interval_holds_its_value_however_skewed_its_replicates_are() -> None:
    for side in (1.0, -1.0):
        found = with_interval(2.0 * side, [0.0] * 99 + [-1000.0 * side])
        assert found.low <= 2.0 * side <= found.high


def test_what_is_not_there_is_no_number() -> None:
    assert statistics.mean([None, None], seed=0) == Value(None)
    assert statistics.mean([2.0, None], seed=0) == Value(2.0)  # one clip has no interval
    assert statistics.over_all([3.0, None, 4.0], max) == Value(4.0)
    assert statistics.over_all([None], sum) == Value(None)


def test_a_bootstrap_has_a_seed_bounds_and_two_clips() -> None:
    def middle(rows: list[np.ndarray]) -> float:
        return float(np.mean(rows))

    clips = [np.array([n, 1.0]) for n in (-1.0, 0.0, 3.0)]
    found = bootstrap(middle, clips, seed=3)
    assert found.low < found.value < found.high
    assert bootstrap(middle, clips, seed=3) == found != bootstrap(middle, clips, seed=4)
    assert bootstrap(middle, clips, seed=3, least=0.6, most=0.9) == Value(found.value, 0.6, 0.9)
    assert bootstrap(middle, clips[:1]) == Value(0.0)
