"""What the page is given of a report: order, ranks, what is usual and what is odd."""

from dataclasses import replace

import pytest

from pipeline.evaluation.page import as_shown, oddities, usual_of
from pipeline.evaluation.report import Clip, Report, System, Value
from tests.pipeline.evaluation.reports import EVIL, small_report

REPORT = small_report()


@pytest.mark.parametrize(
    ("n_clips", "ranks"),
    [
        (4, ["worst", "worst", "", "best", "best"]),
        (3, ["worst", "worst", "", "", "best"]),
        (1, ["worst", "", "", "", ""]),
        (0, ["", "", "", "", ""]),
        (9, ["worst", "worst", "worst", "best", "best"]),
    ],
)
def test_the_worst_and_the_best_are_heard(n_clips: int, ranks: list[str]) -> None:
    clips = as_shown(REPORT, n_clips)["systems"][0]["clips"]
    assert [clip["rank"] for clip in clips] == ranks


def test_numbers_without_a_value_become_none() -> None:
    worst = as_shown(REPORT, 4)["systems"][1]["clips"][0]
    assert (worst["name"], worst["strangeness"]) == (EVIL, None)


def real_of(values: list[float | None]) -> Report:
    clips = tuple(Clip(str(n), "", {"clicks": Value(value)}, 1.0) for n, value in enumerate(values))
    return replace(REPORT, systems=(System("real", "anchor", "", 1, 1.0, {}, clips, ()),))


def test_what_is_usual_are_nine_of_ten_real_clips() -> None:
    usual = usual_of(real_of([float(n) for n in range(101)] + [None, float("nan")]))
    assert usual["clicks"] == pytest.approx((5, 50, 95))
    assert "copied" not in usual


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"a": 0.0, "b": 0.0}, []),
        ({"a": 3.0, "b": -11.0}, ["a", "b"]),  # 2 and 1 times the width of what is usual
        ({"a": 1.4, "b": 15.0, "c": 0.1}, ["c", "b", "a"]),  # what never varies comes first
        ({"a": None, "d": 5.0}, []),
    ],
)
def test_oddities_are_told_the_furthest_first(values: dict[str, float | None], found: list[str]) -> None:
    usual = {"a": (0.0, 0.5, 1.0), "b": (-1.0, 0.0, 9.0), "c": (0.0, 0.0, 0.0)}
    clip = Clip("x", "", {name: Value(value) for name, value in values.items()}, 1.0)
    assert oddities(clip, usual) == found
