import numpy as np
import pytest
from scipy import stats

from pipeline.listening.scores import Answer, mean_opinion, share


def crossed(values: np.ndarray) -> list[Answer]:
    """Answers of every listener to every item, from (n_listeners, n_items)."""
    return [Answer(f"l{i}", f"c{j}", float(v)) for (i, j), v in np.ndenumerate(values)]


def test_one_listener_is_a_plain_t_interval_over_clips() -> None:
    values = np.array([[4, 3, 5, 2, 4, 4, 3]])
    estimate = mean_opinion(crossed(values))
    low, high = stats.t.interval(0.95, 6, values.mean(), stats.sem(values[0]))
    assert (estimate.value, estimate.n_answers) == (pytest.approx(25 / 7), 7)
    assert (estimate.low, estimate.high) == (pytest.approx(low), pytest.approx(high))
    assert mean_opinion(crossed(values.T)) == estimate


def test_too_few_answers_or_all_alike_have_no_interval() -> None:
    for values in ([[4]], [[5, 5, 5], [5, 5, 5]]):
        estimate = mean_opinion(crossed(np.array(values)))
        assert (estimate.value, estimate.low, estimate.high) == (values[0][0], None, None)


def test_an_interval_stays_on_the_scale() -> None:
    estimate = mean_opinion(crossed(np.array([[5, 5, 4]])))
    assert estimate.high == 5
    assert estimate.low is not None
    assert 1 <= estimate.low < 4.5


def test_independent_choices_have_wilsons_interval() -> None:
    values = np.array([[1] * 8 + [0] * 2])
    estimate = share(crossed(values))
    expected = stats.binomtest(8, 10).proportion_ci(method="wilson")
    assert (estimate.low, estimate.high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    always = share(crossed(np.ones((1, 10))))
    expected = stats.binomtest(10, 10).proportion_ci(method="wilson")
    assert (always.low, always.high) == (pytest.approx(expected.low), pytest.approx(1.0))


def test_listeners_who_each_always_answer_alike_count_once() -> None:
    """Four of five listeners choose the same in all of 20 pairs: no surer than five answers, let alone a hundred."""
    values = np.repeat([[1.0], [1.0], [1.0], [1.0], [0.0]], 20, axis=1)
    estimate = share(crossed(values))
    five = stats.binomtest(4, 5).proportion_ci(method="wilson")
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0.2 < estimate.low <= five.low
    assert five.high <= estimate.high < 1


def test_where_listeners_and_clips_do_not_differ_all_answers_count() -> None:
    rng = np.random.default_rng(4)
    ratios = []
    for _ in range(50):
        values = rng.normal(3, 0.5, (40, 40))
        estimate = mean_opinion(crossed(values))
        assert estimate.high is not None
        low, high = stats.t.interval(0.95, 1599, values.mean(), stats.sem(values, axis=None))
        ratios.append((estimate.high - estimate.value) / ((high - low) / 2))
    assert 0.9 < np.median(ratios) < 1.2


def coverage(estimates: list[tuple[float | None, float | None]], truth: float) -> float:
    return float(np.mean([low is not None and high is not None and low <= truth <= high for low, high in estimates]))


@pytest.mark.parametrize(("n_listeners", "n_clips"), [(8, 10), (4, 12), (20, 6)])
def test_mean_opinions_cover_the_truth_as_often_as_they_say(n_listeners: int, n_clips: int) -> None:
    """Listeners are strict or kind, clips good or bad, and a third of the answers is missing."""
    rng = np.random.default_rng(1)
    found, naive = [], []
    for _ in range(400):
        values = 3.0 + rng.normal(0, 0.4, (n_listeners, 1)) + rng.normal(0, 0.3, (1, n_clips))
        values = values + rng.normal(0, 0.4, values.shape)
        answers = [answer for answer in crossed(values) if rng.random() < 0.67]
        estimate = mean_opinion(answers)
        found.append((estimate.low, estimate.high))
        given = np.array([answer.value for answer in answers])
        naive.append(stats.t.interval(0.95, len(given) - 1, given.mean(), stats.sem(given)))
    assert 0.92 <= coverage(found, 3.0) <= 0.98  # of 400 intervals: a std of 0.011
    assert coverage(naive, 3.0) < 0.85


def test_shares_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    found = []
    for _ in range(400):
        chance = 0.6 + rng.uniform(-0.2, 0.2, (10, 1)) + rng.uniform(-0.2, 0.2, (1, 12))
        estimate = share(crossed((rng.random(chance.shape) < chance).astype(float)))
        found.append((estimate.low, estimate.high))
    assert 0.92 <= coverage(found, 0.6) <= 0.98
