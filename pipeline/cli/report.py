"""A report in the terminal: systems side by side, metrics by group, in a hundred columns."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.table import Table
from rich.text import Text

from pipeline.cli.console import console, duration
from pipeline.evaluation.metrics import Metric
from pipeline.evaluation.report import Report, SystemResult, Value

WIDTH = 100  # columns
_RESULTS = ("weights", "steps", "minutes of these steps", "held-out loss")  # shown even where they are the same

Row = tuple[str, list[str]]  # a name, and the cells of the systems


def print_report(report: Report, out: Path) -> None:
    """Print a report, and what was written into a folder."""
    for note in report.notes:
        console.print(note, markup=False)
    for table in (*fact_tables(report), *metric_tables(report)):
        console.print(table)
    n_clips, reference = report.systems[0].n_clips, report.reference
    sound = sum(system.seconds for system in report.systems) + n_clips * report.clip_seconds
    console.print(
        f"{n_clips} clips of {report.clip_seconds:g} s each, seed {report.seed}; reference {reference['folder']}: "
        f"{reference['n_recordings']} recordings; in brackets: 95 % intervals",
        markup=False,
    )
    clips = f" and {out}/clips/" if (out / "clips").is_dir() else ""
    console.print(f"wrote {out}/report.html, {out}/report.json{clips}", markup=False)
    console.print(f"took {duration(report.seconds)} for {duration(sound)} of sound")


def metric_tables(report: Report) -> Iterator[Table]:
    """The headline metrics in as many tables as fit; intervals stand with the user's systems alone."""
    for systems in _in_width(report.systems, lambda each: _rows(report, each)):
        yield _table(_rows(report, systems), systems)


def fact_tables(report: Report) -> Iterator[Table]:
    """The settings in which checkpoints differ, their weights, minutes and loss."""
    known = [system for system in report.systems if system.facts and system.kind == "system"]
    for systems in _in_width(known, lambda each: _fact_rows(each, known)):
        yield _table(_fact_rows(systems, known), systems)


def _in_width(
    systems: Sequence[SystemResult], rows_of: Callable[[Sequence[SystemResult]], list[Row]]
) -> Iterator[list[SystemResult]]:
    """Divide systems so that each part's table fits; a single one is never divided."""
    part: list[SystemResult] = []
    for system in systems:
        if part and _width(rows_of([*part, system]), [*part, system]) > WIDTH:
            yield part
            part = []
        part.append(system)
    if part:
        yield part


def _width(rows: list[Row], systems: Sequence[SystemResult]) -> int:
    heads = [len(row[0]) for row in rows]
    columns = [max([len(system.name), *(len(cells[k]) for _, cells in rows)]) for k, system in enumerate(systems)]
    return max(heads, default=0) + sum(columns) + 2 * (1 + len(columns))


def _table(rows: list[Row], systems: Sequence[SystemResult]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for system in systems:
        table.add_column(Text(system.name), justify="right", no_wrap=True)
    for head, cells in rows:
        style = "bold" if not any(cells) else ""
        table.add_row(Text(head, style=style), *map(Text, cells))  # brackets are no markup
    return table


def _rows(report: Report, systems: Sequence[SystemResult]) -> list[Row]:
    rows: list[Row] = []
    group = ""
    for metric in report.metrics:
        if not metric.headline:
            continue
        if metric.group != group:
            group = metric.group
            rows.append((group, [""] * len(systems)))
        unit = f", {metric.unit}" if metric.unit else ""
        rows.append((f"  {metric.name}{unit}", [_cell(metric, system) for system in systems]))
    return rows


def _fact_rows(systems: Sequence[SystemResult], known: Sequence[SystemResult]) -> list[Row]:
    return [(name, [_fact(system.facts.get(name, "-")) for system in systems]) for name in _differing(known)]


def _differing(systems: Sequence[SystemResult]) -> list[str]:
    """Names of the facts to show side by side: _RESULTS, and before them what is not the same for all."""
    names = list(dict.fromkeys(name for system in systems for name in system.facts))
    differ = [name for name in names if len({repr(system.facts.get(name)) for system in systems}) > 1]
    results = [name for name in _RESULTS if name in names]
    return [name for name in differ if name not in results] + results


def _fact(fact: str | float) -> str:
    if isinstance(fact, float):
        return f"{fact:.4g}"
    return f"{fact / 1e6:.1f} million" if isinstance(fact, int) and fact >= 1e5 else str(fact)


def _cell(metric: Metric, system: SystemResult) -> str:
    value = system.values.get(metric.id, Value(None))
    if value.value is None:
        return "-"
    text = f"{value.value:z.{metric.digits}f}"
    if system.kind == "system" and value.low is not None and value.high is not None:
        text += f" [{value.low:z.{metric.digits}f}, {value.high:z.{metric.digits}f}]"
    return text
