"""What the terminal shows: nothing is cut off, however many systems there are."""

import io
import json

from rich.console import Console

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report import Report, SystemResult, Value
from pipeline.evaluation.table import fact_tables, tables


def system(name: str, **facts: str | float) -> SystemResult:
    values = {metric.id: Value(-123.456, -234.5, -12.3) for metric in METRICS}
    values["copied"] = Value(None)
    kind = "system" if facts else "anchor"
    return SystemResult(name, kind, "", 4, 12.0, values, (), (), facts)  # type: ignore[arg-type]


def shown(*systems: SystemResult) -> list[str]:
    report = Report("", {}, 3.0, 0, {}, METRICS, systems)
    out = io.StringIO()
    console = Console(file=out, width=100)
    for table in (*fact_tables(report), *tables(report)):
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
