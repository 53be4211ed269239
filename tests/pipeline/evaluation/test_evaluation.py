"""The whole evaluation through the real command line: anchors at their ends, a planted copy found, noise far away."""

import io
import json
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.cli.main import main
from pipeline.evaluation.analysis import Ears
from pipeline.evaluation.metrics import METRICS
from pipeline.evaluation.note_distances import HISTOGRAMS
from tests.pipeline.conftest import TINY, as_flags
from tests.pipeline.evaluation.playing import playing
from tests.pipeline.evaluation.reports import violations
from waveforms import SAMPLE_RATE

HOUSE = Path(__file__).parents[3]
SECONDS = 3.0
N_CLIPS = 4
PLANTED = "take-1.wav", 4.0, 1.2  # from which recording, from which second on, how long


def write(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform.astype(np.float32), SAMPLE_RATE, subtype="FLOAT")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A corpus, a model of it, other music with a stolen passage, and noise; and a report of them all."""
    home = tmp_path_factory.mktemp("home")
    for n in range(4):
        write(home / f"takes/take-{n}.wav", playing(n, 9.5))
    for n in range(N_CLIPS):
        music = playing(100 + n, SECONDS + 0.5)
        if n == 2:
            name, second, seconds = PLANTED
            stolen, _ = soundfile.read(home / "takes" / name, dtype="float32")
            start, length = round(second * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
            music[SAMPLE_RATE : SAMPLE_RATE + length] = 0.5 * stolen[start : start + length]
        write(home / f"thief/clip-{n}.wav", music)
        write(home / f"hiss/clip-{n}.wav", 0.03 * np.random.default_rng(n).normal(size=round(SECONDS * SAMPLE_RATE)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
        arguments = ["train", "takes", "--preset=classic", "--out=run", "--held-out=take-0.wav"]
        assert main([*arguments, *as_flags(TINY)]) == 0
        yield home


@pytest.fixture(scope="module")
def printed(home: Path) -> str:
    arguments = ["evaluate", "run", "thief", "noisy=hiss", "--reference=takes", "--trained-on=takes", "--classic=run"]
    with redirect_stdout(io.StringIO()) as out:
        assert main([*arguments, f"--clips={N_CLIPS}", f"--seconds={SECONDS}"]) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def report(home: Path, printed: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((home / "evaluation/report.json").read_text())
    return report


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
    assert facts["recordings learned from"] == 3
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


def test_what_is_printed_fits_a_hundred_columns(printed: str, home: Path) -> None:
    assert "wrote evaluation/report.html, evaluation/report.json and evaluation/clips/\n" in printed
    assert f"{N_CLIPS} clips of 3 s each, seed 0; reference takes: 4 recordings; in brackets: 95 % intervals" in printed
    table = printed[printed.index("distances") : printed.index(f"{N_CLIPS} clips of")]
    assert max(map(len, table.splitlines())) <= 100
    for metric in METRICS:
        assert (f"  {metric.name}" in table) is metric.headline or not metric.headline
    for name in ("run", "thief", "noisy", "real", "classic", "shuffled", "noise", "silence"):
        assert name in printed
    assert "…" not in printed
    assert len(list((home / "evaluation/clips/run").glob("*.wav"))) == N_CLIPS
    assert "gap closed" in (home / "evaluation/report.html").read_text()


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


def test_what_was_heard_is_not_listened_to_again(home: Path, printed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is remembered from the fixture's run, and an evaluation that can remember nothing reports the same."""
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    arguments = ["evaluate", "thief", "--reference=takes", "--trained-on=takes", "--classic=hiss"]
    arguments += [f"--clips={N_CLIPS}", f"--seconds={SECONDS}"]
    with monkeypatch.context() as patch:
        patch.setattr(Ears, "hear", None)
        assert main([*arguments, "--out=remembered"]) == 0
    heard = home / "cache/heard"
    heard.rename(home / "cache/aside")
    heard.touch()  # a file, where a folder must be
    try:
        assert main([*arguments, "--out=listened"]) == 0
    finally:
        heard.unlink()
        (home / "cache/aside").rename(heard)
    reports = [json.loads((home / out / "report.json").read_text()) for out in ("remembered", "listened")]
    assert [report.pop("seconds") > 0 for report in reports] == [True, True]
    assert reports[0] == reports[1]


def test_clips_begin_from_the_recordings_that_are_named(
    home: Path, printed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    arguments = ["run", "--prompts=thief", "--classic=hiss", "--clips=2", f"--seconds={SECONDS}", "--out=prompted"]
    assert main(["evaluate", *arguments]) == 0
    (note,) = json.loads((home / "prompted/report.json").read_text())["notes"]  # recordings last 3.5 s
    left_out = "run: the anchors continuation and resynthesis are left out, as no recording at hand has room for "
    assert note == f"{left_out}a prompt of 5 s and 3 s more"
    clips = list((home / "prompted/clips/run").glob("*.wav"))
    assert len(clips) == 2
    for clip in clips:
        with soundfile.SoundFile(clip) as file:
            (part,) = json.loads(file.comment)["prompt"]["parts"]
        assert re.match(r"clip-\d.wav", part["recording"])


def test_where_the_reference_has_no_notes_there_are_no_distances_of_notes(
    home: Path, printed: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    arguments = ["thief", "--reference=hiss", "--classic=hiss", "--clips=2", f"--seconds={SECONDS}", "--out=noteless"]
    assert main(["evaluate", *arguments]) == 0
    report = json.loads((home / "noteless/report.json").read_text())
    assert "no notes are heard in the reference, so there are no distances of notes" in report["notes"]
    assert value(report, "thief", "notes_per_second") > 0
    for system in report["systems"]:
        assert not [metric for metric in system["values"] if metric.startswith("js_")]
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "distance of pitch classes" in line]
    assert row.split()[4:] == ["-"] * 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["thief"], "a reference is needed, a folder of real recordings: --reference FOLDER"),
        (["nowhere"], "nowhere: a folder of clips or a checkpoint is needed, and there is none of this name"),
        (["thief", "--reference=nowhere"], "nowhere: a folder of recordings is needed, and there is none of this name"),
        (["thief", "--reference=takes", "--classic=nowhere"], "nowhere: a folder of clips or a checkpoint is needed"),
        (["thief", "--reference=takes", "--seconds=4"], "thief: a clip of 4 s or more is needed, and the longest is "),
        (["thief", "--reference=takes", "--seconds=2"], "a clip must last 2.98 s for all ears to hear it, and not 2 s"),
        (["thief", "--reference=takes", "--seconds=3.1"], "a length must be a multiple of 0.25 s (one block), not 3.1"),
        (
            ["thief", "--reference=thief/clip-1.wav"],
            "thief/clip-1.wav: a folder of recordings is needed, and this is a",
        ),
        (["thief", "--reference=hiss", "--clips=1"], "clips must be at least 2 and not 1"),
        (["thief", "--reference=takes", "--seed=-1"], "seed must be at least 0 and not -1"),
        (["fake.safetensors", "--reference=takes"], "fake.safetensors: not a readable safetensors file"),
        (["run", "--out=evaluation"], "evaluation/report.json: exists already; --force overwrites"),
        (
            ["evaluation/clips/classic", "--reference=takes", "--out=evaluation", "--force"],
            "evaluation/clips/classic: clips are to be measured there and rendered to evaluation/clips/classic; ",
        ),
    ],
)
def test_a_mistake_gets_one_sentence(
    home: Path,
    printed: str,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))  # where the ears are
    (home / "fake.safetensors").write_text("no tensors")
    out = [] if any(each.startswith("--out") for each in arguments) else ["--out=new"]
    assert main(["evaluate", *arguments, *out]) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"quarterwave: {message}")
    assert sentence.count("\n") == 1
    assert not (home / "new/report.json").exists()


def test_a_corpus_that_is_gone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "takes").rename(home / "taken")
    try:
        assert main(["evaluate", "run", "--out=new"]) == 1
    finally:
        (home / "taken").rename(home / "takes")
    gone = "run/best.safetensors was trained on this, and it is gone; name another folder with --reference FOLDER"
    assert capsys.readouterr().err == f"quarterwave: {home}/takes: {gone}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "thief"], "thief: no checkpoint, and others are; name checkpoints alone, or only recordings"),
        (["run"], "two checkpoints or more are compared, and not 1"),
    ],
)
def test_only_checkpoints_are_compared(
    home: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 1
    assert capsys.readouterr().err == f"quarterwave: {message}\n"
