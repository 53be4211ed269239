"""The page of an evaluation: one file to read, look at and listen to, which asks no network for anything.

report ----------------> finite numbers, clips in order, what is unusual ---> report.html
waveforms of clips ----> FLAC, outline, picture ----------------------------^
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluation.report import ClipResult, Report, with_floats
from pipeline.web.pages import assemble
from pipeline.web.sounds import prepare
from waveforms.audio import Waveform
from waveforms.files import write_whole

REAL = "real"  # the anchor whose clips show what is usual
N_ODDITIES = 4  # shown of a clip: more would hide what matters

Usual = Mapping[str, tuple[float, float, float]]  # {metric: 5th percentile, median and 95th of real clips}


def write_page(report: Report, waveform_of: Callable[[str, str], Waveform], path: Path, *, n_clips: int = 4) -> None:
    """Write a report as a page that plays the worst and the best clips of every system.

    Args:
        report: what the page shows.
        waveform_of: returns the waveform, (n_samples,), of a clip from the names of its system and itself.
        path: where the page appears when it is complete.
        n_clips: how many clips of each system it plays, half of them the worst; half as many of an anchor.

    Raises:
        OutputError: the page cannot be written.
    """
    shown = as_shown(report, n_clips)
    flacs: dict[str, str] = {}
    for system in shown["systems"]:
        for clip in system["clips"]:
            if clip["rank"]:
                loudness = clip["values"]["loudness"]["value"]  # None of silence
                waveform = waveform_of(system["name"], clip["name"])
                sound = prepare(waveform, -math.inf if loudness is None else loudness)
                clip["sound"] = {"id": f"sound-{len(flacs)}"} | sound.to_json()
                flacs[clip["sound"]["id"]] = sound.flac
    write_whole(path, assemble("report", title=report.title, data=shown, sounds=flacs))


def as_shown(report: Report, n_clips: int) -> dict[str, Any]:
    """Lay a report out for the page's scripts.

    Args:
        report: the report, which is shown as a whole.
        n_clips: how many clips of each system are played; half as many of an anchor.

    Returns:
        the report as dictionaries and lists, all numbers finite or None, with `usual`. The strangest clips come first;
        each has a `rank` ("worst" or "best" if it is played, else ""), `oddities` (ids of metrics, the most unusual
        first), and a `sound` that is None.
    """
    usual = usual_of(report)
    systems = []
    for system in report.systems:
        ranked = sorted(system.clips, key=_strangeness, reverse=True)
        ranks = _ranks(len(ranked), n_clips if system.kind == "system" else n_clips // 2)
        clips = [
            asdict(clip) | {"rank": rank, "oddities": oddities(clip, usual), "sound": None}
            for clip, rank in zip(ranked, ranks, strict=True)
        ]
        systems.append(asdict(system) | {"clips": clips})
    shown = report.to_json() | {"systems": systems, "usual": usual}
    return with_floats(shown, lambda number: number if math.isfinite(number) else None)  # type: ignore[no-any-return]


def usual_of(report: Report) -> Usual:
    """Return what is usual for real clips, by metric; nothing if the report has none."""
    real = next((system.clips for system in report.systems if system.name == REAL), ())
    values = {metric.id: _numbers(metric.id, real) for metric in report.metrics}
    return {name: tuple(np.percentile(found, [5, 50, 95]).tolist()) for name, found in values.items() if found}


def oddities(clip: ClipResult, usual: Usual) -> list[str]:
    """Return the metrics by which a clip lies outside what is usual, the most unusual first."""
    away: dict[str, float] = {}
    for metric, (low, _, high) in usual.items():
        for value in _numbers(metric, [clip]):
            beyond = max(low - value, value - high)
            if beyond > 0:
                away[metric] = beyond / (high - low) if high > low else math.inf
    return sorted(away, key=lambda metric: -away[metric])[:N_ODDITIES]


def _numbers(metric: str, clips: Sequence[ClipResult]) -> list[float]:
    values = [clip.values[metric].value for clip in clips if metric in clip.values]
    return [value for value in values if value is not None and math.isfinite(value)]


def _strangeness(clip: ClipResult) -> float:
    return clip.strangeness if math.isfinite(clip.strangeness) else math.inf


def _ranks(n: int, n_played: int) -> list[str]:
    """Rank n clips in order: the worst, those that are not played, the best."""
    n_played = min(n, n_played)
    n_best = n_played // 2
    return ["worst"] * (n_played - n_best) + [""] * (n - n_played) + ["best"] * n_best
