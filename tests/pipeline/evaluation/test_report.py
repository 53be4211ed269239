"""What the terminal shows of a report, and what the page is given of it."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from pipeline.cli.report import fact_tables, metric_tables
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.page import as_shown, oddities, usual_of
from pipeline.evaluation.report import ClipResult, Report, SystemResult, Value
from tests.pipeline.evaluation.reports import EVIL, small_report

REPORT = small_report()


def system(name: str, **facts: str | float) -> SystemResult:
    values = {metric.id: Value(-123.456, -234.5, -12.3) for metric in METRICS}
    values["copied"] = Value(None)
    kind = "system" if facts else "anchor"
    return SystemResult(name, kind, "", 4, 12.0, values, (), (), facts)  # type: ignore[arg-type]


def shown(*systems: SystemResult) -> list[str]:
    report = Report("", {}, 3.0, 0, {}, METRICS, systems)
    out = io.StringIO()
    console = Console(file=out, width=100)
    for table in (*fact_tables(report), *metric_tables(report)):
        console.print(table)
    return out.getvalue().splitlines()


def test_every_headline_of_every_system_is_there() -> None:
    names = [f"a system of no. {n}" for n in range(7)]
    lines = shown(*(system(name, layers=1) for name in names), system("real"))
    assert max(map(len, lines)) <= 100
    assert not any("…" in line for line in lines)
    for name in (*names, "real"):
        assert any(name in line for line in lines)
    for metric in METRICS:
        cells = "".join(line for line in lines if line.strip().startswith(metric.name + ("," if metric.unit else " ")))
        if metric.headline and metric.id != "copied":
            number = f"{-123.456:.{metric.digits}f}"
            assert cells.count(number) == 8, metric.id
            assert cells.count("[") == 7, metric.id  # intervals stand with the user's systems
    assert sum(line.split()[-1] == "-" for line in lines if "copied, %" in line) >= 1


def test_zero_has_no_sign() -> None:
    small = {metric.id: Value(-0.0001, -0.0002, -0.0) for metric in METRICS}
    nothing = SystemResult("new", "system", "", 4, 12.0, small, (), ())
    assert "-0" not in "".join(shown(nothing))
    written = json.dumps(Report("", {}, 3.0, 0, {}, (), (nothing,)).to_json())
    assert "-0.0001" in written
    assert "-0.0," not in written
    assert "-0.0}" not in written


def test_facts_that_differ_stand_beside_what_came_of_them() -> None:
    one = system("one", preset="classic", layers=1, width=64, weights=39_386_898, steps=75)
    two = system("two", preset="classic", layers=3, width=64, weights=12_345, steps=75)
    lines = shown(one, two, system("real"))
    rows = [line.split() for line in lines[:4]]
    assert rows == [
        ["one", "two"],
        ["layers", "1", "3"],
        ["weights", "39.4", "million", "12345"],
        ["steps", "75", "75"],
    ]


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
def test_the_worst_and_the_best_are_played(n_clips: int, ranks: list[str]) -> None:
    clips = as_shown(REPORT, n_clips)["systems"][0]["clips"]
    assert [clip["rank"] for clip in clips] == ranks


def test_numbers_without_a_value_become_none() -> None:
    worst = as_shown(REPORT, 4)["systems"][1]["clips"][0]
    assert (worst["name"], worst["strangeness"]) == (EVIL, None)


def real_of(values: list[float | None]) -> Report:
    clips = tuple(ClipResult(str(n), "", {"clicks": Value(value)}, 1.0) for n, value in enumerate(values))
    return replace(REPORT, systems=(SystemResult("real", "anchor", "", 1, 1.0, {}, clips, ()),))


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
def test_oddities_begin_with_the_furthest(values: dict[str, float | None], found: list[str]) -> None:
    usual = {"a": (0.0, 0.5, 1.0), "b": (-1.0, 0.0, 9.0), "c": (0.0, 0.0, 0.0)}
    clip = ClipResult("x", "", {name: Value(value) for name, value in values.items()}, 1.0)
    assert oddities(clip, usual) == found
