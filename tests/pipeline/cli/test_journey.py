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
import torch
from safetensors.torch import load_file
from wavinfo import WavInfoReader

from pipeline.cli.main import main
from tests.pipeline.conftest import TINY, TINY_CODES, TINY_FLOW, as_flags, melody, melody_notes, quarterwave
from waveforms import SAMPLE_RATE
from waveforms.notes.events import Notes
from waveforms.notes.midi import read_midi, write_midi

FLAGS = as_flags(TINY_FLOW)
FOREIGN, RUN = "takes/notes.txt", "--checkpoint=run/best.safetensors"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with a folder of recordings of several kinds, one of them broken, and a model of each preset."""
    home = tmp_path_factory.mktemp("home")
    folder = home / "takes"
    (folder / "more").mkdir(parents=True)
    soundfile.write(folder / "one.wav", melody(1, 3.0), SAMPLE_RATE, subtype="PCM_24")
    soundfile.write(folder / "two.flac", np.stack([melody(2, 2.0)] * 2, axis=1), SAMPLE_RATE)
    soundfile.write(folder / "three.ogg", melody(3, 2.5), 48_000)
    soundfile.write(folder / "more" / "four.mp3", melody(4, 4.0), SAMPLE_RATE)
    (folder / "notes.txt").write_text("do not forget to tune the piano")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))  # what was transcribed is not transcribed again
        quarterwave("train", folder, "--out", "run", "--validate-every=6", *FLAGS, cwd=home)
        for preset, values in {"classic": TINY, "codes": TINY_CODES}.items():
            assert main(["train", "takes", f"--preset={preset}", f"--out={preset}", *as_flags(values)]) == 0
    return home


def test_inspect_train_generate(home: Path) -> None:
    text = quarterwave("inspect", "takes", cwd=home)
    assert "4 recordings, 11 s" in text
    assert "left out: takes/notes.txt: not audio" in text
    summary = json.loads(quarterwave("inspect", "takes", "--json", cwd=home))
    assert [r["name"] for r in summary["recordings"]] == ["more/four.mp3", "one.wav", "three.ogg", "two.flac"]
    assert summary["left_out_by_kind"] == {"not audio": 1}

    text = quarterwave("generate", "--checkpoint", "run/best.safetensors", "--seed", "3", cwd=home)
    clips = sorted((home / "clips").glob("*.wav"))
    assert len(clips) == 4
    assert "wrote 4 clips to clips/" in text
    for clip in clips:
        with wave.open(str(clip)) as file:
            assert file.getparams()[:4] == (1, 2, SAMPLE_RATE, 441_000)
        assert clip.with_suffix(".png").stat().st_size > 10_000
        assert clip.with_suffix(".txt").read_text().startswith("0.0000000\t0.0000000\tprompt end")
        assert clip.with_suffix(".mid").read_bytes().startswith(b"MThd")

    again = quarterwave("generate", "--checkpoint", "run/best.safetensors", "--seed", "3", cwd=home, status=1)
    assert again == "quarterwave: clips/clip-3-1.wav: exists already; --force overwrites\n"


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
    np.testing.assert_allclose(kept[SAMPLE_RATE // 2 :], clips[1], atol=1e-4)


def test_a_midi_file_is_played_with_the_sound_that_was_learned(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as it sounds and a second more; its notes come back beside the clip, to a tick of either file."""
    monkeypatch.chdir(home)
    score = tmp_path / "score.mid"
    notes = melody_notes(3, 1.5)
    write_midi(score, notes.to_performance("score"))
    played = ["generate", "--checkpoint=run/best.safetensors", f"--notes={score}", "--prompt=silence", "--seed=2"]
    assert main([*played, "--clips=1", "--no-pictures", f"--out={tmp_path / 'played'}"]) == 0
    waveform, _ = soundfile.read(tmp_path / "played/clip-2-1.wav")
    assert len(waveform) == 11 * 11_025  # 1.75 s and 1 s
    found = Notes.of_performance(read_midi(tmp_path / "played/clip-2-1.mid"))
    np.testing.assert_allclose(found.table, notes.table, atol=1.2e-3)

    unmade = ["generate", "--checkpoint=classic/best.safetensors", f"--notes={score}", f"--out={tmp_path / 'unmade'}"]
    assert main(unmade) == 1
    message = "preset classic reads no notes: leave out --notes"
    assert capsys.readouterr().err == f"quarterwave: {message}\n"


def clips_of(home: Path, name: str, *arguments: str) -> list[bytes]:
    """Render two clips of a second from noise; give the samples of each."""
    common = ["--clips=2", "--seconds=1", "--prompt-seconds=0.5", "--seed=5", "--no-pictures", f"--out={home / name}"]
    assert main(["generate", *common, *arguments]) == 0
    return [soundfile.read(clip)[0].tobytes() for clip in sorted((home / name).glob("*.wav"))]


def test_how_clips_are_sampled(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    flow, codes = "--checkpoint=run/best.safetensors", "--checkpoint=codes/best.safetensors"
    plain = clips_of(tmp_path, "plain", flow)
    assert clips_of(tmp_path, "again", flow, "--temperature=1") == plain
    assert clips_of(tmp_path, "careful", flow, "--temperature=0.5") != plain
    daring = clips_of(tmp_path, "daring", codes)
    likeliest = clips_of(tmp_path, "likeliest", codes, "--temperature=0")
    assert daring != likeliest
    assert clips_of(tmp_path, "one", codes, "--top-k=1") == likeliest
    assert clips_of(tmp_path, "fewest", codes, "--top-p=0.001") == likeliest
    flags = ("--temperature=0.9", "--top-k=5", "--top-p=0.75", "--sound-temperature=0.8")
    clips_of(tmp_path, "text", codes, *flags)
    comment = WavInfoReader(str(tmp_path / "text/clip-5-1.wav")).info.comment
    sampling = {"temperature": 0.9, "top_k": 5, "top_p": 0.75, "sound_temperature": 0.8}
    assert json.loads(comment)["sampling"] == sampling


def test_one_prompt_goes_on_in_different_ways(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)

    def rendered(name: str, *arguments: str) -> tuple[set[str], set[bytes]]:
        common = ["--clips=4", "--seconds=0.5", "--prompt-seconds=0.5", "--seed=5", "--no-pictures"]
        common += [f"--out={tmp_path / name}", "--checkpoint=run/best.safetensors"]
        assert main(["generate", *common, *arguments]) == 0
        clips = list((tmp_path / name).glob("*.wav"))
        prompts = {str(json.loads(WavInfoReader(str(clip)).info.comment)["prompt"]) for clip in clips}
        return prompts, {soundfile.read(clip)[0].tobytes() for clip in clips}

    prompts, waveforms = rendered("several")
    assert len(prompts) > 1
    assert len(waveforms) == 4
    prompts, waveforms = rendered("variation", "--variation")
    assert len(prompts) == 1
    assert len(waveforms) == 4


def test_inspecting_a_checkpoint(home: Path) -> None:
    text = quarterwave("inspect", "run/best.safetensors", cwd=home)
    assert "preset flow" in text
    assert "  head: flow_width 16," in text
    assert "learned from 3 recordings" in text
    document = json.loads(quarterwave("inspect", "run/last.safetensors", "--json", cwd=home))
    assert document["settings"]["model"]["width"] == TINY["width"]
    assert document["bytes"]["resume"] > 2 * document["bytes"]["model"]  # two moments, and weights not averaged


def test_tensorboard_shows_curves_clips_and_pictures(home: Path) -> None:
    program = """
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("run/tensorboard").Reload()
tags = events.Tags()
print(*tags["scalars"], *tags["audio"], *tags["images"])
print(*[event.step for event in events.Scalars("training/loss")])
print(*[event.step for event in events.Audio("roll-out")], *[event.step for event in events.Images("roll-out")])
"""
    output = subprocess.check_output([sys.executable, "-c", program], cwd=home, text=True)
    tags, losses, clips = output.splitlines()
    scalars = ("training/loss", "training/blocks_per_second", "validation/skill_mean", "validation/skill_repeat")
    assert {*scalars, "roll-out"} <= set(tags.split())
    assert losses.split() == [str(step) for step in range(1, TINY["steps"] + 1)]
    assert clips.split() == ["6", "12", "6", "12"]  # at each validation, sound and picture


def test_a_run_goes_on_from_another(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    out = tmp_path / "further"
    begun = ["train", "takes", f"--out={out}", "--from=run/best.safetensors", "--steps=1", "--validate-every=1"]
    assert main([*begun, "--learning-rate=1e-9", "--ema-decay=0", "--batch-size=2"]) == 0
    first, further = (load_file(folder / "best.safetensors") for folder in (home / "run", out))
    for name, value in further.items():
        if name.startswith(("model.", "codec.")):
            torch.testing.assert_close(value, first[name], atol=1e-6, rtol=0)


def test_an_interrupted_run_says_how_to_go_on_and_does(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
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
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert "go on with: quarterwave train takes --out long --resume" in text
    stopped_at = int(re.search(r"(\d+) steps\n", text).group(1))  # type: ignore[union-attr]
    assert stopped_at > 0
    text = quarterwave("train", "takes", "--out", "long", "--resume", f"--steps={stopped_at + 5}", cwd=home)
    assert f"{stopped_at + 5} steps" in text
    assert (home / "long" / "best.safetensors").exists()


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
        (
            ["train", "takes", "--out=n", "--from=run/best.safetensors", "--layers=3", "--preset=flow"],
            "--from takes the preset and its sizes from run/best.safetensors: leave out --preset, --layers\n",
        ),
        (["train", "takes", "--out=n", f"--from={FOREIGN}"], f"{FOREIGN}: not a readable safetensors file"),
        (["train", "takes", "--layers=0"], "layers must be at least 1 and not 0"),
        (["train", "takes", "--out", "n", "--held-out", "five.wav"], "takes: no recording is named 'five.wav'"),
        (["generate", "--checkpoint", FOREIGN], f"{FOREIGN}: not a readable safetensors file"),
        (["generate"], "checkpoints/: holds no checkpoint; train one first, or name one with --checkpoint FILE"),
        (["generate", RUN, "--seconds=0.3"], "a length must be a multiple of 0.25 s (one block), not 0.3 s"),
        (["generate", "--clips=0"], "clips must be at least 1 and not 0"),
        (["generate", "--seed=-1"], "seed must be at least 0 and not -1"),
        (["generate", "--temperature=2.5"], "temperature must be between 0 and 2 and not 2.5"),
        (["generate", "--temperature=nan"], "temperature must be between 0 and 2 and not nan"),
        (["generate", "--top-k=-1"], "top_k must be at least 0 and not -1"),
        (
            ["generate", "--checkpoint=classic/best.safetensors", "--temperature=0.5"],
            "preset classic samples by no setting: it gives its one guess; leave out temperature\n",
        ),
        (["generate", "--top-p=0"], "top_p must be above 0 and at most 1 and not 0.0"),
        (["train", "takes", "--out=n", "--codes=9"], "preset flow has no setting codes"),
        (["train", "takes", "--out=n", "--preset=codes", "--codes=1000", "--fit-steps=1"], "codes must be at most "),
        (["generate", f"--notes={FOREIGN}"], f"{FOREIGN}: not a MIDI file that can be read ("),
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
    text = quarterwave("--help", cwd=home)
    for command in ("corpus", "inspect", "train", "generate", "evaluate", "compare", "listen"):
        assert f"quarterwave {command}" in text
        assert f"quarterwave {command} " in quarterwave(command, "--help", cwd=home)
    text = quarterwave("train", "--help", cwd=home)
    assert re.search(r"--dims INT\s.*?\(default:\s+128\)", text, re.DOTALL)
    assert re.search(r"--overlap INT\s.*?\(default:\s+0, in\s+classic\)", text, re.DOTALL)
    assert "None" not in text
    quarterwave("nonsense", cwd=home, status=2)
