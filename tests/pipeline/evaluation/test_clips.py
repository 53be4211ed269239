"""Segments of recordings, folders of clips, and where a rendered clip's prompt is from."""

import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from pipeline.evaluation import EvaluationError
from pipeline.evaluation.clips import choose_evenly, choose_from_groups, read_folder, read_rendered, segments_of
from pipeline.evaluation.copies import Origin
from tests.conftest import noise
from waveforms import SAMPLE_RATE
from waveforms.audio import ClipWriter
from waveforms.corpus.recording import Recording
from waveforms.dsp.blocks import BLOCK_SIZE

N = 4 * BLOCK_SIZE
HALF = 2 * BLOCK_SIZE


def test_a_folder_of_all_kinds(record: Callable[..., Path], tmp_path: Path) -> None:
    record("clips/long.wav", noise(2 * N + 99))
    record("clips/more/just.flac", noise(N))
    record("clips/short.wav", noise(N - 1))
    record("clips/silent.wav", np.zeros(N))
    (tmp_path / "clips/broken.wav").write_bytes(b"RIFF\0\0\0\0WAVE")
    (tmp_path / "clips/notes.txt").write_text("no news")
    calls: list[tuple[int, int]] = []
    folder = read_folder(tmp_path / "clips", N, lambda done, total: calls.append((done, total)))
    assert calls == [(n, 6) for n in range(1, 7)]
    names = [[segment.name for segment in segments] for segments in folder.segments]
    assert names == [["long.wav @ 0 s", "long.wav @ 1 s"], ["more/just.flac"], ["silent.wav"]]
    assert not folder.segments[2][0].read().any()
    assert len(folder.notes) == 2
    assert "broken.wav" in folder.notes[0]
    assert folder.notes[1] == f"left out: 1 of the 4 clips of {tmp_path}/clips, which are shorter than 1 s"
    (one,) = read_folder(tmp_path / "clips/more/just.flac", N, lambda done, total: None).segments
    assert [segment.name for segment in one] == ["just.flac"]


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
def test_a_clip_says_where_its_prompt_ended(tmp_path: Path, n_blocks: int) -> None:
    """Unless it begins with the prompt: then there are more blocks than were predicted."""
    part = {"recording": "one @ home.wav", "start": 1_000_012.25, "stop": 1_000_017.25, "weight": 1.0}
    provenance = {"prompt": {"kind": "held-out", "parts": [part]}, "blocks": 4, "block_size": 11025}
    path = tmp_path / "clip.wav"
    with ClipWriter(path, metadata={"comment": json.dumps(provenance)}) as clip:
        clip.write(noise(n_blocks * BLOCK_SIZE)[:, 0])
    (segment,) = read_rendered([path])
    assert segment.origin == (Origin("one @ home.wav", round(1_000_017.25 * SAMPLE_RATE)) if n_blocks == 4 else None)
    halves = read_folder(path, 2 * BLOCK_SIZE, lambda done, total: None).segments[0]
    assert halves[1].origin == (Origin("one @ home.wav", round(1_000_017.75 * SAMPLE_RATE)) if n_blocks == 4 else None)


COMMENTS_OF_OTHERS = [
    "take two",
    '{"prompt": "noise", "blocks": 4, "block_size": 11025}',
    "[1]",
    '{"prompt": 3}',
    '{"prompt": {"kind": "noise", "parts": []}, "blocks": 4, "block_size": 11025}',
    '{"prompt": {"kind": "files", "parts": [{}, {}]}, "blocks": 4, "block_size": 11025}',
    '{"prompt": {"kind": "files", "parts": [{"recording": "a", "stop": Infinity}]}, "blocks": 4, "block_size": 11025}',
    '{"prompt": {"kind": "files", "parts": [{"recording": "a", "stop": "soon"}]}, "blocks": 4, "block_size": 11025}',
]


def test_comments_of_others_give_no_origin(record: Callable[..., Path], tmp_path: Path) -> None:
    assert read_rendered([record("plain.wav", noise(N))])[0].origin is None
    for n, comment in enumerate(COMMENTS_OF_OTHERS):
        path = tmp_path / f"{n}.wav"
        with ClipWriter(path, metadata={"comment": comment}) as clip:
            clip.write(noise(N)[:, 0])
        assert read_rendered([path])[0].origin is None


def test_items_are_chosen_evenly() -> None:
    assert choose_evenly(range(10), 5) == [1, 3, 5, 7, 9]
    assert choose_evenly(range(3), 5) == [0, 1, 2]
    groups = [[f"{name}{n}" for n in range(length)] for name, length in (("a", 8), ("b", 1), ("c", 0), ("d", 4))]
    assert choose_from_groups(groups, 2) == ["a4", "d2"]
    assert choose_from_groups(groups, 5) == ["a2", "a6", "b0", "d1", "d3"]
    assert len(choose_from_groups(groups, 99)) == 13
    assert choose_from_groups(groups, 99) == list(chain.from_iterable(groups))


def test_segments_are_the_recording_piece_by_piece(ramp: Callable[[str, float], Recording]) -> None:
    source = ramp("ramp.wav", 7)
    segments = segments_of(source, "/there/ramp.wav", HALF)
    whole = source.read(0, source.n_samples)
    assert [segment.name for segment in segments] == ["ramp.wav @ 0 s", "ramp.wav @ 0.5 s", "ramp.wav @ 1 s"]
    assert segments[2].source == "/there/ramp.wav @ 1 s"
    np.testing.assert_array_equal(np.concatenate([segment.read() for segment in segments]), whole[: 3 * HALF])
    np.testing.assert_array_equal(segments[1].read_part(5, 9), whole[HALF + 5 : HALF + 9])
    assert [segment.name for segment in segments_of(ramp("one.wav", 3.8), "one.wav", HALF)] == ["one.wav"]
