"""What a person may name, and how it is told apart."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.copies import Origin
from pipeline.evaluation.reading import read_clips, read_folder, read_what
from tests.conftest import noise
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter
from waveforms.dsp.blocks import BLOCK_SIZE

N = 4 * BLOCK_SIZE


def test_what_is_named_and_what_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "deep/clips", "run", "real", "a=b"):
        Path(name).mkdir(parents=True)
    for name in ("run/best.safetensors", "run/last.safetensors", "lone.safetensors", "clip.wav"):
        Path(name).touch()
    given = ["clips", "deep/clips/", "new=clips", "run", "run/last.safetensors", "lone.safetensors", "clip.wav"]
    found = read_what([*given, "real", "a=b", "."])
    names = ["clips", "clips-2", "new", "run", "run-2", "lone", "clip", "real-2", "a=b", tmp_path.name]
    assert [what.name for what in found] == names
    assert [what.is_checkpoint for what in found] == [False] * 3 + [True] * 3 + [False] * 4
    assert found[3].path == Path("run/best.safetensors")


def test_a_name_that_is_given_comes_before_one_that_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("clips", "others"):
        Path(name).mkdir()
    assert [what.name for what in read_what(["clips", "clips=others"])] == ["clips-2", "clips"]
    with pytest.raises(EvaluationError, match=r"^names must differ, and new is given twice$"):
        read_what(["new=clips", "others", "new=others"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nowhere", r"^nowhere: a folder of clips or a checkpoint is needed, and there is none of this name$"),
        ("a=nowhere", r"^nowhere: a folder of clips or a checkpoint is needed"),
        ("=.", r"^what is evaluated must be PATH or NAME=PATH and not '=\.'$"),
        (
            "real=.",
            r"^a name must have no / in it and not be real, continuation, .*, silence, and not 'real'$",
        ),
        ("a/b=.", r"^a name must have no / in it .*, and not 'a/b'$"),
        ("..=.", r"^a name must have no / in it .*, and not '\.\.'$"),
    ],
)
def test_what_cannot_be_named(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_what([text])


def test_a_folder_of_all_kinds(record: Callable[..., Path], tmp_path: Path) -> None:
    record("clips/long.wav", noise(2 * N + 99))
    record("clips/more/just.flac", noise(N))
    record("clips/short.wav", noise(N - 1))
    record("clips/silent.wav", np.zeros(N))
    (tmp_path / "clips/broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    (tmp_path / "clips/notes.txt").write_text("no news")
    told: list[tuple[int, int]] = []
    folder = read_folder(tmp_path / "clips", N, lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]
    names = [[cut.name for cut in cuts] for cuts in folder.cuts]
    assert names == [["long.wav @ 0 s", "long.wav @ 1 s"], ["more/just.flac"], ["silent.wav"]]
    assert not folder.cuts[2][0].read().any()
    assert len(folder.notes) == 2
    assert "broken.wav" in folder.notes[0]
    assert folder.notes[1] == f"left out: 1 of the 4 clips of {tmp_path}/clips, which are shorter than 1 s"
    (one,) = read_folder(tmp_path / "clips/more/just.flac", N, lambda done, total: None).cuts
    assert [cut.name for cut in one] == ["just.flac"]


def test_nothing_long_enough(record: Callable[..., Path], tmp_path: Path) -> None:
    record("clips/a.wav", noise(N - 1))
    record("clips/b.wav", noise(N - BLOCK_SIZE))
    with pytest.raises(
        EvaluationError, match=r"clips: a clip of 1 s or more is needed, and the longest is a\.wav, 1\.00 s$"
    ):
        read_folder(tmp_path / "clips", N, lambda done, total: None)
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        EvaluationError, match=r"empty: a clip of 1 s or more is needed, and there is no usable audio f"
    ):
        read_folder(tmp_path / "empty", N, lambda done, total: None)


@pytest.mark.parametrize("n_blocks", [4, 5])
def test_a_clip_tells_where_its_prompt_ended(tmp_path: Path, n_blocks: int) -> None:
    """Unless it begins with the prompt: then there are more blocks than were predicted."""
    part = {"recording": "one @ home.wav", "start": 1_000_012.25, "stop": 1_000_017.25, "weight": 1.0}
    provenance = {"prompt": {"kind": "held-out", "parts": [part]}, "blocks": 4}
    path = tmp_path / "clip.wav"
    with ClipWriter(path, metadata={"comment": json.dumps(provenance)}) as clip:
        clip.write(noise(n_blocks * BLOCK_SIZE)[:, 0])
    (cut,) = read_clips([path])
    assert cut.origin == (Origin("one @ home.wav", round(1_000_017.25 * SAMPLE_RATE)) if n_blocks == 4 else None)
    halves = read_folder(path, 2 * BLOCK_SIZE, lambda done, total: None).cuts[0]
    assert halves[1].origin == (Origin("one @ home.wav", round(1_000_017.75 * SAMPLE_RATE)) if n_blocks == 4 else None)


COMMENTS_OF_OTHERS = [
    "take two",
    '{"prompt": "noise", "blocks": 4}',
    "[1]",
    '{"prompt": 3}',
    '{"prompt": {"kind": "noise", "parts": []}, "blocks": 4}',
    '{"prompt": {"kind": "files", "parts": [{}, {}]}, "blocks": 4}',
    '{"prompt": {"kind": "files", "parts": [{"recording": "a", "stop": Infinity}]}, "blocks": 4}',
    '{"prompt": {"kind": "files", "parts": [{"recording": "a", "stop": "soon"}]}, "blocks": 4}',
]


def test_clips_of_others_tell_nothing(record: Callable[..., Path], tmp_path: Path) -> None:
    assert read_clips([record("plain.wav", noise(N))])[0].origin is None
    for n, comment in enumerate(COMMENTS_OF_OTHERS):
        path = tmp_path / f"{n}.wav"
        with ClipWriter(path, metadata={"comment": comment}) as clip:
            clip.write(noise(N)[:, 0])
        assert read_clips([path])[0].origin is None
