"""Whole journeys through the real command line, on real files, in processes of their own."""

import json
import re
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.cli import main
from tests.pipeline.conftest import TINY, melody
from waveforms import SAMPLE_RATE

FLAGS = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]


def quarterwave(*arguments: str | Path, cwd: Path, status: int = 0) -> str:
    """Run a command; give what it printed, after checking its exit status."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pipeline", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a folder of recordings of several kinds, one of them broken, and a model trained on it."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "takes"
    (folder / "more").mkdir(parents=True)
    soundfile.write(folder / "one.wav", melody(1, 3.0), SAMPLE_RATE, subtype="PCM_24")
    soundfile.write(folder / "two.flac", np.stack([melody(2, 2.0)] * 2, axis=1), SAMPLE_RATE)
    soundfile.write(folder / "three.ogg", melody(3, 2.5), 48_000)
    soundfile.write(folder / "more" / "four.mp3", melody(4, 4.0), SAMPLE_RATE)
    (folder / "notes.txt").write_text("remember to tune the piano")
    quarterwave("train", folder, "--out", "run", "--validate-every=6", *FLAGS, cwd=home)
    return home


def test_inspect_train_generate(home: Path) -> None:
    told = quarterwave("inspect", "takes", cwd=home)
    assert "4 recordings, 11 s" in told
    assert "left out: takes/notes.txt: not audio" in told
    summary = json.loads(quarterwave("inspect", "takes", "--json", cwd=home))
    assert [r["name"] for r in summary["recordings"]] == ["more/four.mp3", "one.wav", "three.ogg", "two.flac"]
    assert summary["left_out_by_kind"] == {"not audio": 1}

    told = quarterwave("generate", "--checkpoint", "run/best.safetensors", "--seed", "3", cwd=home)
    clips = sorted((home / "clips").glob("*.wav"))
    assert len(clips) == 4
    assert "wrote 4 clips to clips/" in told
    for clip in clips:
        with wave.open(str(clip)) as file:
            assert file.getparams()[:4] == (1, 2, SAMPLE_RATE, 441_000)
        assert clip.with_suffix(".png").stat().st_size > 10_000
        assert clip.with_suffix(".txt").read_text().startswith("0.0000000\t0.0000000\tprompt end")

    again = quarterwave("generate", "--checkpoint", "run/best.safetensors", "--seed", "3", cwd=home, status=1)
    assert again == "quarterwave: clips/clip-3-1.wav: exists already; --force overwrites it\n"


def test_every_kind_of_prompt(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)

    def generate(name: str, *arguments: str) -> np.ndarray:
        common = ["--checkpoint", "run/last.safetensors", "--seconds=1", "--prompt-seconds=0.5", "--clips=1"]
        assert main(["generate", *common, "--seed=1", "--no-pictures", "--out", name, *arguments]) == 0
        (clip,) = (home / name).glob("*.wav")
        waveform, _ = soundfile.read(clip)
        return waveform

    clips = [
        generate("held-out"),
        generate("file", "--prompt", "takes/one.wav@1.5"),
        generate("mix", "--prompt-mix", "takes/one.wav@1*0.5", "takes/three.ogg*0.5"),
        generate("noise", "--prompt", "noise"),
        generate("silence", "--prompt", "silence"),
    ]
    assert all(len(clip) == SAMPLE_RATE for clip in clips)
    for i, clip in enumerate(clips):
        assert all(np.abs(clip - other).max() > 1e-4 for other in clips[:i])
    kept = generate("kept", "--prompt", "takes/one.wav@1.5", "--keep-prompt", "--encoding=float")
    truth, _ = soundfile.read(home / "takes/one.wav", start=round(1.5 * SAMPLE_RATE), frames=SAMPLE_RATE // 2)
    np.testing.assert_allclose(kept[: SAMPLE_RATE // 2], truth, atol=1e-4)
    np.testing.assert_allclose(kept[SAMPLE_RATE // 2 :], clips[1], atol=1e-4)


def test_inspecting_a_checkpoint(home: Path) -> None:
    told = quarterwave("inspect", "run/best.safetensors", cwd=home)
    assert "preset classic" in told
    assert "learned from 3 recordings" in told
    document = json.loads(quarterwave("inspect", "run/last.safetensors", "--json", cwd=home))
    assert document["settings"]["predictor"]["width"] == TINY["width"]
    assert document["bytes"]["resume"] > document["bytes"]["predictor"]


def test_tensorboard_shows_curves_clips_and_pictures(home: Path) -> None:
    program = """
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("run/tensorboard").Reload()
tags = events.Tags()
print(*tags["scalars"], *tags["audio"], *tags["images"])
print(*[event.step for event in events.Scalars("training/loss")])
print(*[event.step for event in events.Audio("roll-out")], *[event.step for event in events.Images("roll-out")])
"""
    told = subprocess.run([sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=True).stdout
    tags, losses, clips = told.splitlines()
    scalars = ("training/loss", "training/blocks_per_second", "validation/skill_mean", "validation/skill_repeat")
    assert {*scalars, "roll-out"} <= set(tags.split())
    assert losses.split() == [str(step) for step in range(1, TINY["steps"] + 1)]
    assert clips.split() == ["6", "12", "6", "12"]  # at each validation, sound and picture


def test_an_interrupted_run_says_how_to_go_on_and_does(home: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "train", "takes", "--out", "long", "--validate-every=1000", *FLAGS]
    command += ["--steps=100000", "--patience=1000"]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    events = home / "long" / "tensorboard"
    for _ in range(600):
        if events.exists():
            break
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "go on with: quarterwave train takes --out long --resume" in told
    stopped_at = int(re.search(r"(\d+) steps\n", told).group(1))  # type: ignore[union-attr]
    assert stopped_at > 0
    told = quarterwave("train", "takes", "--out", "long", "--resume", f"--steps={stopped_at + 5}", cwd=home)
    assert f"{stopped_at + 5} steps" in told
    assert (home / "long" / "best.safetensors").exists()


FOREIGN = "takes/notes.txt"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "nowhere"], "nowhere: "),
        (["train", "takes", "--out", "run", *FLAGS], "run: holds a run already; --resume goes on with it, --force"),
        (
            ["train", "takes", "--out", "new", "--resume"],
            "new/last.safetensors: no such file, so there is no run to go",
        ),
        (["train", "takes", "--out", "run", "--resume", "--layers=2"], "--resume goes on with the settings in run"),
        (["train", "takes", "--layers=0"], "layers must be at least 1 and not 0"),
        (["train", "takes", "--out", "n", "--held-out", "five.wav"], "takes: no recording is named 'five.wav'"),
        (["generate", "--checkpoint", FOREIGN], f"{FOREIGN}: not a readable safetensors file"),
        (["generate"], "checkpoints/: holds no checkpoint; train one first, or name one with --checkpoint FILE"),
        (["generate", "--seconds=0.3"], "a length must be a multiple of 0.25 s (one block), not 0.3 s"),
        (["generate", "--clips=0"], "clips must be at least 1 and not 0"),
        (["generate", "--seed=-1"], "seed must be at least 0 and not -1"),
        (["inspect", "nowhere"], "nowhere: "),
        (["corpus", "takes/one.wav"], "takes/one.wav: must be a folder"),
    ],
)
def test_a_users_mistake_gets_one_sentence(
    home: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    assert main(arguments) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"quarterwave: {message}")
    assert sentence.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level=loud"], "level must be peak, clip or a loudness in LUFS and not loud"),
        (["--prompt=nowhere.wav"], "nowhere.wav: missing: no such file"),
        (["--prompt=takes/one.wav@99"], "takes/one.wav: a prompt must begin between 0 and 2.75 s and not at 99 s"),
        (["--out=takes/notes.txt"], "takes/notes.txt: cannot be made a folder: File exists"),
        (["--seconds=100000000"], "clip-1-1.wav: a WAV file holds at most 4 GiB; render a shorter clip, or several"),
    ],
)
def test_mistakes_in_generating(
    home: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    assert main(["generate", "--checkpoint", "run/best.safetensors", "--seed=1", "--out=unmade", *arguments]) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith("quarterwave: ")
    assert message in sentence
    assert sentence.count("\n") == 1
    assert not list(home.glob("unmade/*"))


def test_help_teaches(home: Path) -> None:
    told = quarterwave("--help", cwd=home)
    for command in ("corpus", "inspect", "train", "generate", "evaluate", "compare", "listen"):
        assert f"quarterwave {command}" in told
        assert f"quarterwave {command} " in quarterwave(command, "--help", cwd=home)
    quarterwave("nonsense", cwd=home, status=2)
