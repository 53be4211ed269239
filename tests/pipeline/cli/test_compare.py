"""A grid of settings, trained and compared by one command; stopped, it goes on."""

import io
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from pipeline import checkpoint, distributed
from pipeline.cli.grid import given_grid, settings_of
from pipeline.cli.main import main, make_parser
from pipeline.cli.training import ProgressBar
from pipeline.config import LAST, preset_named
from pipeline.errors import SettingsError
from pipeline.training.begin import Progress, Run
from tests.pipeline.conftest import TINY, as_flags
from tests.pipeline.evaluation.playing import playing
from tests.pipeline.training.runs import trained
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus

PLACES = ["takes", "more.jsonl"]
VALUES = TINY | {"validate_every": 6}
NAMES = ["layers-1", "layers-2"]
SETTINGS = ["--preset=classic", *as_flags(VALUES | {"layers": "1,2"})]
CLIPS = ["--classic=hiss", "--clips=2", "--seconds=3"]
CODES = ["--preset=codes", "--codes=8", "--dims=8", "--fit-steps=1"]
COMMAND = ["compare", *PLACES, *SETTINGS, *CLIPS]


def stop_after(n_steps: int, patch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C after so many steps of all runs together."""
    on_step_end, steps = ProgressBar.on_step_end, iter(range(1, n_steps + 1))

    def step(self: ProgressBar, run: Run, loss: float) -> None:
        on_step_end(self, run, loss)
        if next(steps, None) == n_steps:
            os.kill(os.getpid(), signal.SIGINT)

    patch.setattr(ProgressBar, "on_step_end", step)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Recordings in a folder and in a list, and clips that stand in for the anchor classic."""
    home = tmp_path_factory.mktemp("home")
    rng = np.random.default_rng(0)
    for n in range(4):
        path = home / ("takes" if n < 2 else "elsewhere") / f"take-{n}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, playing(n, 6.2), SAMPLE_RATE)
        (home / "hiss").mkdir(exist_ok=True)
        soundfile.write(home / f"hiss/{n}.wav", 0.03 * rng.normal(size=3 * SAMPLE_RATE), SAMPLE_RATE)
    (home / "more.jsonl").write_text("".join(f'{{"path": "elsewhere/take-{n}.wav"}}\n' for n in (2, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
        yield home


@pytest.fixture(scope="module")
def stopped(home: Path) -> str:
    """What is printed where the second run of the grid is stopped after 8 of its 12 steps."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        stop_after(12 + 8, patch)
        assert main(COMMAND) == 130
    return out.getvalue()


@pytest.fixture(scope="module")
def first(home: Path, stopped: str) -> bytes:
    """The run that was complete by then."""
    return (home / "evaluation/runs" / NAMES[0] / LAST).read_bytes()


@pytest.fixture(scope="module")
def printed(first: bytes) -> str:
    """What the same command prints when it is called again."""
    with redirect_stdout(io.StringIO()) as out:
        assert main(COMMAND) == 0
    return out.getvalue()


@pytest.fixture(scope="module")
def report(home: Path, printed: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((home / "evaluation/report.json").read_text())
    return report


def test_a_stopped_comparison_says_how_to_go_on(stopped: str) -> None:
    lines = [line for line in stopped.splitlines() if line.startswith(("run ", "stopped", "go on", "took"))]
    assert lines[0] == f"run 1 of 2, {NAMES[0]}: begins"
    assert lines[1].endswith(", 12 steps")
    assert lines[2] == f"run 2 of 2, {NAMES[1]}: begins"
    assert lines[3] == f"stopped and saved: evaluation/runs/{NAMES[1]}/{LAST}"
    assert lines[4].endswith(", 8 steps")
    assert lines[5:] == ["go on with: the same command again"]


def test_the_same_command_goes_on_and_keeps_what_is_trained(home: Path, first: bytes, printed: str) -> None:
    lines = [f"run 1 of 2, {NAMES[0]}: is trained already", f"run 2 of 2, {NAMES[1]}: goes on where it stopped"]
    assert [line for line in printed.splitlines() if line.startswith("run ")] == lines
    assert (home / "evaluation/runs" / NAMES[0] / LAST).read_bytes() == first
    for name in NAMES:
        assert checkpoint.read_document(home / "evaluation/runs" / name / LAST)["progress"]["step"] == 12


def test_a_run_of_a_grid_is_what_train_makes_of_its_settings(home: Path, printed: str) -> None:
    """Though it was stopped, and came after another."""
    corpus = Corpus.open(*PLACES)
    settings = preset_named("classic").with_values(VALUES | {"layers": 2})
    alone = trained(corpus, settings, home / "alone").run.checkpoint
    found = checkpoint.load(home / "evaluation/runs" / NAMES[1] / LAST)
    assert found.settings == settings
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], weight), name


def test_the_report_holds_the_runs_side_by_side(home: Path, report: dict[str, Any]) -> None:
    systems = report["systems"]
    assert [system["name"] for system in systems] == [*NAMES, "real", "classic", "shuffled", "noise", "silence"]
    assert report["reference"]["folder"] == "takes, more.jsonl"
    assert report["reference"]["n_recordings"] == 4
    prompts = []
    for system, layers in zip(systems[:2], [1, 2], strict=True):
        assert system["facts"]["layers"] == layers
        assert {"skill_mean", "skill_decoded_mean", "copied"} <= system["values"].keys()
        clips = sorted((home / "evaluation/clips" / system["name"]).glob("*.wav"))
        prompts.append([json.loads(soundfile.SoundFile(clip).comment)["prompt"] for clip in clips])
    assert len(prompts[0]) == 2
    assert prompts[0] == prompts[1]


def test_facts_are_those_of_the_best_step(home: Path, report: dict[str, Any]) -> None:
    for system in report["systems"][:2]:
        history = checkpoint.read_document(home / "evaluation/runs" / system["name"] / LAST)["history"]
        best = min(history, key=lambda row: row["loss"])
        facts = system["facts"]
        assert (facts["steps"], facts["held-out loss"]) == (best["step"], best["loss"])
        assert facts["minutes of these steps"] == pytest.approx(best["seconds"] / 60)


def test_the_table_shows_what_differs_and_what_came_of_it(printed: str) -> None:
    table = printed[printed.index("layers  ") : printed.index("\ndistances")]
    heads = re.findall(r"^(\S.*?)  ", table, re.MULTILINE)
    assert heads == ["layers", "weights", "steps", "minutes of these steps", "held-out loss"]
    assert re.search(r"^skill *$\n  skill, % .*\n  skill in sound, % ", printed, re.MULTILINE)


@pytest.fixture
def cached(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was fetched and analysed for other tests."""
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))


@pytest.fixture
def other(home: Path, printed: str) -> Iterator[Path]:
    """Another folder of results, with the runs and without the report."""
    shutil.copytree(home / "evaluation/runs", home / "other/runs")
    yield home / "other"
    shutil.rmtree(home / "other")


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps=13"], f"other/runs/{NAMES[0]}: holds a run already, with steps 12 and not 13; --force starts it"),
        (CODES, f"other/runs/{NAMES[0]}: holds a run already, with preset classic and not codes; --force"),
        (["--held-out=take-3.wav"], f"other/runs/{NAMES[0]}: holds a run already, with another split, or other record"),
    ],
)
def test_a_run_of_other_settings_is_in_the_way(
    other: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [path.stat().st_mtime_ns for path in sorted(other.rglob(LAST))]
    assert main([*COMMAND, "--out=other", *arguments]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"quarterwave: {message}")
    assert printed.err.count("\n") == 1
    assert "run 1" not in printed.out
    assert [path.stat().st_mtime_ns for path in sorted(other.rglob(LAST))] == before

    stop_after(1, monkeypatch)
    assert main([*COMMAND, "--out=other", *arguments, "--force"]) == 130
    assert f"run 1 of 2, {NAMES[0]}: begins" in capsys.readouterr().out


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [*PLACES],
            "takes, more.jsonl: no checkpoint is there, so runs are trained, and two or more are compared",
        ),
        (["takes", "--layers=2"], "takes: no checkpoint is there, so runs are trained, and two or more are compared"),
        (["nowhere", "--layers=1,2"], "nowhere: a folder of recordings is needed, and there is none of this name"),
        (["takes", "--preset=flow,classic", "--dims=8"], "preset classic has no setting dims"),
        (["takes", "--layers=1,0"], "layers must be at least 1 and not 0"),
        (["takes", "--layers=1,2", "--seconds=3.1"], "a length must be a multiple of 0.25 s (one block), not 3.1 s"),
        (["takes", "--layers=1,2", "--seconds=2"], "a clip must last 2.98 s for all networks to embed it, and not 2 s"),
        (["takes", "--layers=1,2", "--clips=1"], "clips must be at least 2 and not 1"),
        (["takes", "--layers=1,2", "--held-out=five.wav"], "takes: no recording is named 'five.wav'"),
        (
            [*PLACES, "--held-out-share=0.1,0.5"],
            "runs that are compared must hold out the same recordings: give --h",
        ),
        (["takes", "--layers=1,2", "--out=evaluation"], "evaluation/report.json: exists already; --force overwrites"),
        (["RUN", "takes", "--layers=1,2"], "takes: no checkpoint, and others are; name checkpoints alone, or only rec"),
        (
            ["RUN", "RUN", "--training-seed=1,2", "--batch-size=3", "--held-out=take-3.wav"],
            "checkpoints are compared as they were trained: leave out --training-seed, --batch-size, --held-out\n",
        ),
    ],
)
def test_a_mistake_gets_one_sentence_before_anything_is_trained(
    home: Path, printed: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = f"evaluation/runs/{NAMES[0]}"
    assert main(["compare", "--out=new", *(run if each == "RUN" else each for each in arguments)]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith(f"quarterwave: {message}")
    assert printed.err.count("\n") == 1
    assert not (home / "new").exists()


def test_one_process_trains_a_grid(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "connect_to_render", lambda: SimpleNamespace(world_size=2))
    assert main(["compare", "takes", "--layers=1,2", "--out=new"]) == 1
    printed = "compare trains in one process; train each run with torchrun, and compare checkpoints"
    assert capsys.readouterr().err == f"quarterwave: {printed}\n"


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--layers=1,x", "argument --layers: invalid int value: 'x'"),
        ("--layers=1,", "argument --layers: invalid int value: ''"),
        ("--dropout=0.5,0.50", "argument --dropout: 0.5 is given twice"),
        ("--preset=flow,baroque", "argument --preset: invalid choice: 'baroque' (choose from flow, codes, classic)"),
        ("--error=absolute,cubed", "argument --error: invalid choice: 'cubed' (choose from absolute, squared)"),
    ],
)
def test_what_is_no_value_is_said_as_argparse_says_it(
    flag: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", "takes", flag])
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(f"quarterwave compare: error: {message}\n")


def names_of(*flags: str) -> list[str]:
    return list(settings_of(given_grid(make_parser().parse_args(["compare", "takes", *flags]))))


def test_runs_are_named_by_what_differs_and_ordered_as_the_flags() -> None:
    assert names_of("--width=2,1", "--steps=9", "--layers=1,2") == [
        "width-2-layers-1",
        "width-2-layers-2",
        "width-1-layers-1",
        "width-1-layers-2",
    ]
    assert names_of("--preset=flow,classic", "--steps=9") == ["preset-flow", "preset-classic"]
    assert names_of("--learning-rate=1e-3,3e-5") == ["learning-rate-0.001", "learning-rate-3e-05"]


def test_runs_have_the_settings_that_were_chosen() -> None:
    presets = ["flow", "codes"]
    runs = settings_of({"preset": presets, "dims": [8], "seed": [3, 4]})
    assert list(runs.values()) == [
        preset_named(preset).with_values({"dims": 8, "seed": seed}) for preset in presets for seed in (3, 4)
    ]
    given = given_grid(make_parser().parse_args(["compare", "takes", "--seed=7", "--training-seed=3,4"]))
    assert given == {"seed": [3, 4]}
    with pytest.raises(SettingsError, match=r"^preset classic has no setting dims$"):
        settings_of({"dims": [8], "preset": ["flow", "classic"]})


def test_a_run_that_no_longer_improved_is_over() -> None:
    settings = preset_named("classic").training
    assert Progress(step=settings.steps).is_over(settings)
    assert Progress(step=9, n_worse=settings.patience).is_over(settings)
    assert not Progress(step=settings.steps - 1, n_worse=settings.patience - 1).is_over(settings)
