"""`evaluate` and `compare` through the real command line: what they print, what is cached, and mistakes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import checkpoint
from pipeline.cli.main import main
from pipeline.config import preset_named
from pipeline.evaluation import anchors
from pipeline.evaluation.analysis import Analyser
from pipeline.evaluation.metrics import METRICS
from tests.pipeline.conftest import TINY
from tests.pipeline.evaluation.conftest import N_CLIPS, SECONDS
from tests.pipeline.evaluation.playing import playing
from waveforms.audio.loudness import LoudnessMeter


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


def test_a_clip_is_metered_once_and_what_was_analysed_is_not_analysed_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cached at first. Files are metered as a folder is opened, and roll-outs for the gain of their file."""
    arguments = ["evaluate", "run", "thief", "--classic=hiss", "--clips=2", f"--seconds={SECONDS}"]
    readings: list[float] = []
    integrated = LoudnessMeter.integrated

    def counted(meter: LoudnessMeter) -> float:
        readings.append(integrated(meter))
        return readings[-1]

    for folder in ("analyses", "surveys"):
        (home / "cache" / folder).rename(home / "cache" / f"{folder}-aside")
    with monkeypatch.context() as patch:
        patch.setattr(LoudnessMeter, "integrated", counted)
        assert main([*arguments, "--out=analysed"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Analyser, "analyse", None)
        assert main([*arguments, "--out=cached"]) == 0
    reports = [json.loads((home / out / "report.json").read_text()) for out in ("analysed", "cached")]
    assert [report.pop("seconds") > 0 for report in reports] == [True, True]
    assert str(reports[0]).replace("analysed/", "cached/") == str(reports[1])
    n_files = sum(len(list((home / folder).iterdir())) for folder in ("takes", "thief", "hiss"))
    n_sounds = 2 * (1 + len(reports[0]["systems"])) - 1  # of the reference, too; both clips of silence are one sound
    n_rolled_out = 2
    assert len(readings) == n_files + n_rolled_out + n_sounds


@pytest.mark.usefixtures("home")
def test_all_but_levels_are_measured_at_one_loudness() -> None:
    analyser, clip = Analyser(), playing(3, SECONDS)
    loud, soft, shifted = (analyser.analyse(each) for each in (clip, np.float32(0.01) * clip, clip + np.float32(0.05)))
    assert loud.levels.loudness - soft.levels.loudness == pytest.approx(40, abs=0.01)
    assert loud.notes["quick"].n_notes > 5
    np.testing.assert_array_equal(soft.notes["quick"].pitches, loud.notes["quick"].pitches)
    assert soft.notes["quick"].velocity_std == pytest.approx(loud.notes["quick"].velocity_std, abs=0.5)
    for name, vectors in loud.vectors.items():
        np.testing.assert_allclose(soft.vectors[name], vectors, atol=1e-2 * np.abs(vectors).max())
    assert shifted.dc_offset - loud.dc_offset == pytest.approx(0.05, abs=1e-3)


def test_the_anchor_classic_is_trained_once_on_the_reference(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small network in the place of the ancestor's."""
    monkeypatch.setattr(anchors, "classic_settings", lambda: preset_named("classic").with_values(TINY))
    arguments = [
        "evaluate",
        "thief",
        "--reference=takes",
        "--clips=2",
        f"--seconds={SECONDS}",
        "--force",
        "--out=own",
    ]
    sentence = "the anchor classic was trained on the reference, once, and is kept: "
    found = []
    for _ in range(2):
        assert main(arguments) == 0
        report = json.loads((home / "own/report.json").read_text())
        found.append([note for note in report["notes"] if note.startswith(sentence)])
        (classic,) = [system for system in report["systems"] if system["name"] == "classic"]
        assert classic["facts"]["steps"] == TINY["steps"]
    ((kept,), again) = found
    assert again == []
    assert checkpoint.load(Path(kept.removeprefix(sentence))).settings.preset == "classic"


def test_clips_begin_from_the_recordings_that_are_named(home: Path) -> None:
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
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["thief", "--reference=hiss", "--classic=hiss", "--clips=2", f"--seconds={SECONDS}", "--out=noteless"]
    assert main(["evaluate", *arguments]) == 0
    report = json.loads((home / "noteless/report.json").read_text())
    assert "the transcriber finds no notes in the reference, so there are no distances of notes" in report["notes"]
    assert report["systems"][0]["values"]["notes_per_second"]["value"] > 0
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
        (
            ["thief", "--reference=takes", "--seconds=2"],
            "a clip must last 2.98 s for all networks to embed it, and not 2 s",
        ),
        (
            ["thief", "--reference=thief/clip-1.wav"],
            "thief/clip-1.wav: a folder of recordings is needed, and this is a",
        ),
        (["fake.safetensors", "--reference=takes"], "fake.safetensors: not a readable safetensors file"),
        (["run", "--out=evaluation"], "evaluation/report.json: exists already; --force overwrites"),
        (
            ["evaluation/clips/classic", "--reference=takes", "--out=evaluation", "--force"],
            "evaluation/clips/classic: clips are measured there and rendered to evaluation/clips/classic; ",
        ),
    ],
)
def test_a_mistake_gets_one_sentence(
    home: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
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
        (
            ["evaluation/report.json", "run"],
            "evaluation/report.json: a folder of clips or a checkpoint is needed, and this is a report; name what it "
            "evaluated again, and a report of this version's format is written",
        ),
    ],
)
def test_only_checkpoints_are_compared(
    home: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == 1
    assert capsys.readouterr().err == f"quarterwave: {message}\n"
