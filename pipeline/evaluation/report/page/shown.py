"""What the page's scripts are given of a report: finite numbers, clips the worst first, and what is odd about each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline.evaluation.numbers.standing import stand
from pipeline.evaluation.report.data import Clip, Report

REAL = "real"  # the anchor whose clips show what is usual
N_ODDITIES = 4  # told of a clip: more would hide what matters

Usual = Mapping[str, tuple[float, float, float]]  # of each measure of real clips the 5th percentile, median and 95th


def show(report: Report, n_clips: int) -> dict[str, Any]:
    """Lay a report out for the page.

    Args:
        report: of which everything is shown.
        n_clips: of each system that get a `rank`, "worst" or "best", and are to be heard; of an anchor half as many.

    Returns:
        the report as dictionaries and lists, all numbers finite or None, with `usual`; clips the worst first, each with
        its `rank`, `oddities` (ids of measures, the most unusual first), and a `sound` that is None.
    """
    usual = usual_of(report)
    systems = []
    for system in report.systems:
        n_heard = n_clips if system.kind == "system" else n_clips // 2
        ranked = sorted(system.clips, key=_strangeness, reverse=True)
        clips = [
            asdict(clip) | {"rank": rank, "oddities": oddities(clip, usual), "sound": None}
            for clip, rank in zip(ranked, _ranks(len(ranked), n_heard), strict=True)
        ]
        systems.append(asdict(system) | {"clips": clips})
    return _finite(report.to_json() | {"systems": systems, "usual": usual})  # type: ignore[no-any-return]


def usual_of(report: Report) -> Usual:
    """What is usual of real clips, by measure; nothing without them."""
    real = next((system.clips for system in report.systems if system.name == REAL), ())
    found = {}
    for measure in report.measures:
        values = _numbers(measure.id, real)
        if values:
            standing = stand(values[0], values)
            found[measure.id] = (standing.low, standing.median, standing.high)
    return found


def oddities(clip: Clip, usual: Usual) -> list[str]:
    """The measures by which a clip lies outside what is usual, the most unusual first."""
    away: dict[str, float] = {}
    for measure, (low, _, high) in usual.items():
        for value in _numbers(measure, [clip]):
            beyond = max(low - value, value - high)
            if beyond > 0:
                away[measure] = beyond / (high - low) if high > low else math.inf
    return sorted(away, key=lambda measure: -away[measure])[:N_ODDITIES]


def _numbers(measure: str, clips: Sequence[Clip]) -> list[float]:
    values = [clip.values[measure].value for clip in clips if measure in clip.values]
    return [value for value in values if value is not None and math.isfinite(value)]


def _strangeness(clip: Clip) -> float:
    return clip.strangeness if math.isfinite(clip.strangeness) else math.inf


def _ranks(n: int, n_heard: int) -> list[str]:
    """Of n clips in order, the worst, those between, the best."""
    n_heard = min(n, n_heard)
    n_best = n_heard // 2
    return ["worst"] * (n_heard - n_best) + [""] * (n - n_heard) + ["best"] * n_best


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
