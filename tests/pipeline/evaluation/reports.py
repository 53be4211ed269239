"""A small report: two systems and two anchors, with sounds of a few seconds; and a check of reports by a schema."""

from functools import cache
from typing import Any

import numpy as np

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.report import Annotation, ClipResult, Histogram, Kind, Report, SystemResult, Value
from tests.pipeline.conftest import melody
from waveforms.audio import Waveform
from waveforms.audio.levels import measure_levels

SECONDS = 6.0  # long enough that a busy machine looks before they end
EVIL = '<script>window.harmed = 1</script>.wav "\'&amp; <!--</script><img src=x onerror="window.harmed = 1">'
SHOWN = ("gap_closed", "notes_per_second", "copied", "clicks", "collapse", "polyphony")
NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


@cache
def sounds(system: str, clip: str) -> Waveform:
    """Notes that differ from clip to clip; the clips of `ours` are 20 dB quieter."""
    waveform = melody(sum(map(ord, system + clip)), SECONDS)
    return waveform * np.float32(0.1 if system == "ours" else 1.0)


def _values(level: float, *, anchor: bool) -> dict[str, Value]:
    values = {name: Value(level * (n + 1), level * n, level * (n + 2)) for n, name in enumerate(SHOWN)}
    values["polyphony"] = Value(None)
    if anchor:
        del values["gap_closed"]
    return values


def _clip(system: str, name: str, strangeness: float, marks: tuple[Annotation, ...] = ()) -> ClipResult:
    values = {"notes_per_second": Value(10 * strangeness), "clicks": Value(float(len(marks)))}
    values["loudness"] = Value(measure_levels(sounds(system, name)).loudness)
    return ClipResult(name, f"/music/{name} @ 0 s", values, strangeness, marks)


def _system(name: str, kind: Kind, level: float, clips: tuple[ClipResult, ...]) -> SystemResult:
    rng = np.random.default_rng(len(name))
    shares = rng.dirichlet(np.ones(12))
    histogram = Histogram("pitch_classes", "pitch classes", "share of notes", NAMES, tuple(shares.tolist()))
    values = _values(level, anchor=kind == "anchor")
    return SystemResult(name, kind, f"What {name} is.", len(clips), len(clips) * SECONDS, values, clips, (histogram,))


def small_report() -> Report:
    """Give a report whose strangest clip is `clip-4` of `ours`, with three marks; names try to break the page."""
    clicks = [Annotation("clicks", start, 0.0, "click") for start in (1.5, 4.0)]
    marks = (Annotation("copied", 0.5, 0.75, f"verbatim from {EVIL} @ 3.25 s"), *clicks)
    mine = tuple(_clip("ours", f"clip-{n}", 1.0 + n / 2, marks if n == 4 else ()) for n in range(5))
    theirs = (_clip(EVIL, EVIL, float("inf")), _clip(EVIL, "b.wav", 1.5))
    real = tuple(_clip("real", f"real-{n}", 0.9 + n / 10) for n in range(3))
    return Report(
        title=f"ours and {EVIL}",
        reference={"folder": EVIL, "n_recordings": 3, "seconds": 18.123456},
        clip_seconds=SECONDS,
        seed=7,
        versions={"quarterwave": "0.1.0"},
        metrics=tuple(metric for metric in METRICS if metric.id in SHOWN),
        systems=(
            _system("ours", "system", 24.0, mine),
            _system(EVIL, "system", 4.0, theirs),
            _system("real", "anchor", 1.2, real),
            _system("noise", "anchor", -3.5, ()),
        ),
        notes=(f"left out: {EVIL}", f"left out: {'recordings/' * 12}", "few clips: intervals are wide"),
        seconds=12.3,
    )


KINDS = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def violations(data: Any, schema: dict[str, Any], root: dict[str, Any], place: str = "") -> list[str]:
    """Where data breaks a JSON schema, of whose words these are known: type, const, enum, $ref, items, properties."""
    if "$ref" in schema:
        return violations(data, root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root, place)
    if ("const" in schema and data != schema["const"]) or ("enum" in schema and data not in schema["enum"]):
        return [f"{place}: {data!r}"]
    names = schema.get("type", [])
    kinds = [names] if isinstance(names, str) else names
    if kinds and not any(data is None if kind == "null" else isinstance(data, KINDS[kind]) for kind in kinds):
        return [f"{place}: {data!r} is not {names}"]
    if isinstance(data, list):
        return [each for n, item in enumerate(data) for each in violations(item, schema["items"], root, f"{place}/{n}")]
    if not isinstance(data, dict):
        return []
    found = [f"{place}: lacks {name}" for name in schema.get("required", []) if name not in data]
    for name, value in data.items():
        part = schema.get("properties", {}).get(name, schema["additionalProperties"])
        found += violations(value, part, root, f"{place}/{name}") if part else [f"{place}: has {name}"]
    return found
