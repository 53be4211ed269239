"""The report of a whole evaluation: anchors at their ends, a planted copy found, noise far away."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.note_distances import HISTOGRAMS
from tests.pipeline.conftest import TINY
from tests.pipeline.evaluation.conftest import N_CLIPS, PLANTED, SECONDS
from tests.pipeline.evaluation.reports import violations

HOUSE = Path(__file__).parents[3]


def value(report: dict[str, Any], system: str, metric: str) -> Any:
    (found,) = [each for each in report["systems"] if each["name"] == system]
    return found["values"][metric]["value"]


def test_who_was_measured(report: dict[str, Any]) -> None:
    anchors = ["real", "continuation", "resynthesis", "classic", "shuffled", "noise", "silence"]
    assert [system["name"] for system in report["systems"]] == ["run", "thief", "noisy", *anchors]
    assert [system["kind"] for system in report["systems"]] == ["system"] * 3 + ["anchor"] * 7
    for system in report["systems"]:
        assert system["n_clips"] == len(system["clips"]) == N_CLIPS
        assert system["seconds"] == pytest.approx(N_CLIPS * SECONDS)
        assert {each["id"] for each in system["histograms"]} == set(HISTOGRAMS)
    assert report["reference"] == {"folder": "takes", "n_recordings": 4, "seconds": 38.0, "n_clips": N_CLIPS}
    assert [metric["id"] for metric in report["metrics"]] == [metric.id for metric in METRICS]
    facts = report["systems"][0]["facts"]
    assert facts["layers"] == TINY["layers"]
    assert facts["training recordings"] == 3
    assert facts["steps"] == TINY["steps"]


def test_anchors_are_the_ends_of_the_gap(report: dict[str, Any]) -> None:
    for metric in ("gap_closed", "gap_musicnn", "gap_aisfx"):
        assert value(report, "classic", metric) == 0
        assert value(report, "real", metric) == pytest.approx(100)
    assert value(report, "run", "gap_closed") == pytest.approx(0, abs=1e-6)  # the very model
    assert value(report, "thief", "gap_closed") > 50
    for far in ("noisy", "noise", "silence"):
        for metric in ("fd_musicnn", "fd_aisfx", "mmd_musicnn", "mmd_aisfx"):
            assert value(report, far, metric) > 2 * value(report, "thief", metric)
        assert value(report, far, "js_pitches") > value(report, "real", "js_pitches")
    assert value(report, "noisy", "fd_aisfx") == pytest.approx(value(report, "noise", "fd_aisfx"), rel=0.05)


def test_notes_are_held_against_what_recordings_do_after_the_prompts(report: dict[str, Any]) -> None:
    """The codec of `classic` loses nothing, so the two anchors are one."""
    by_name = {system["name"]: system for system in report["systems"]}
    assert value(report, "continuation", "notes_per_second_ratio") == pytest.approx(100, abs=2)
    for name in (f"js_{name}_continuation" for name in HISTOGRAMS):
        assert value(report, "resynthesis", name) < 0.05
        assert value(report, "classic", name) == value(report, "run", name) > 0.1  # the very model and prompts
        for other in ("continuation", "thief", "real", "shuffled"):
            assert name not in by_name[other]["values"]
    for clip in by_name["continuation"]["clips"]:
        assert re.fullmatch(r"takes/take-0.wav @ \d(\.\d+)? s", clip["source"])


def test_a_planted_copy_is_named_and_the_rest_is_not_accused(report: dict[str, Any]) -> None:
    name, second, seconds = PLANTED
    assert value(report, "thief", "longest_copy") == pytest.approx(seconds, abs=0.1)
    assert value(report, "thief", "copied") == pytest.approx(100 * seconds / (N_CLIPS * SECONDS), abs=2)
    assert value(report, "noisy", "copied") == 0
    assert "copied" in report["systems"][1]["values"]
    (thief,) = [system for system in report["systems"] if system["name"] == "thief"]
    (clip,) = [clip for clip in thief["clips"] if clip["values"]["copied"]["value"]]
    assert clip["name"] == "clip-2.wav"
    assert clip["source"] == "thief/clip-2.wav @ 0 s"
    (mark,) = [mark for mark in clip["annotations"] if mark["kind"] == "copied"]
    assert mark["start"] == pytest.approx(1.0, abs=0.1)
    kind, _, of, _, at, _ = mark["text"].split()
    assert (kind, of) == ("verbatim", name)
    assert float(at) == pytest.approx(second + mark["start"] - 1.0, abs=0.02)


def test_what_is_wrong_with_the_anchors(report: dict[str, Any]) -> None:
    assert value(report, "noise", "collapse") == value(report, "silence", "collapse") == 100
    assert value(report, "real", "collapse") == 0
    assert value(report, "shuffled", "edge_excess") > 6 > value(report, "real", "edge_excess")
    assert value(report, "noise", "flatness_outliers") == 100
    assert value(report, "silence", "loudness") is None
    assert value(report, "silence", "notes_per_second") == 0
    assert value(report, "silence", "median_onset_interval") is None
    assert value(report, "real", "piano_ratio") == pytest.approx(100)
    marks = [mark for mark in report["systems"][-1]["clips"][0]["annotations"] if mark["kind"] == "collapse"]
    assert [mark["text"] for mark in marks] == ["silence from here on"]


def test_strange_clips_are_strange(report: dict[str, Any]) -> None:
    strangeness = {each["name"]: np.mean([c["strangeness"] for c in each["clips"]]) for each in report["systems"]}
    assert strangeness["real"] == pytest.approx(1, abs=0.5)
    assert strangeness["noise"] > strangeness["thief"]


def test_intervals_hold_their_values(report: dict[str, Any]) -> None:
    for system in report["systems"]:
        for metric, found in system["values"].items():
            if found["low"] is not None:
                rounding = 1e-9 * abs(found["value"])
                assert found["low"] - rounding <= found["value"] <= found["high"] + rounding, (system["name"], metric)


def test_the_report_is_as_its_schema_says(report: dict[str, Any]) -> None:
    schema = json.loads((HOUSE / "tests/golden/report.schema.json").read_text())
    assert violations(report, schema, schema) == []
    broken = json.loads(json.dumps(report))
    del broken["systems"][0]["kind"]
    broken["systems"][1]["clips"][2]["annotations"][0]["kind"] = "measure"
    broken |= {"format": 1, "measures": []}
    kind = "/systems/1/clips/2/annotations/0/kind"
    assert violations(broken, schema, schema) == [
        "/format: 1",
        "/systems/0: lacks kind",
        f"{kind}: 'measure'",
        ": has measures",
    ]


def test_the_document_names_every_measure_and_field(report: dict[str, Any]) -> None:
    document = (HOUSE / "docs/report.md").read_text()

    def fields(data: Any) -> Iterator[str]:
        if isinstance(data, dict):
            for key, content in data.items():
                yield key
                if key not in ("values", "facts", "versions"):
                    yield from fields(content)
        elif isinstance(data, list) and data:
            yield from fields(data[0])

    rows = [line for line in document.split("## The metrics")[1].splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(f"| `{m.id}` | {m.unit} | {m.meaning} | {m.limits} |" for m in METRICS)
    for name in fields(report):
        assert f"`{name}`" in document, name
    clip = report["systems"][1]["clips"][2]
    for name in (*clip, *clip["annotations"][0], "value", "low", "high"):
        assert f"`{name}`" in document, name
