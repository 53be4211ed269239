"""Anchors: no second of real is in the reference; shuffled, noise, silence; classic is trained once for a corpus."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import checkpoint
from pipeline.config import Settings
from pipeline.evaluation import EvaluationError, anchors
from pipeline.evaluation.anchors import classic_path, classic_settings, halves, shuffled, silence, train_classic
from pipeline.evaluation.clips import segments_of
from tests.conftest import noise
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.corpus.recording import Recording
from waveforms.dsp.blocks import BLOCK_SIZE

N = 2 * BLOCK_SIZE


def test_the_reference_and_real_share_no_second(ramp: Callable[[str, float], Recording]) -> None:
    sources = [(ramp(f"{n}.wav", 2 * n), f"{n}.wav") for n in (1, 4, 1, 5, 1, 3, 2)]
    reference, real = halves(sources, N)
    assert [len(segments) for segments in reference] == [1, 2, 0, 3, 0, 2, 1]  # odd clips go to either side in turn
    assert [len(segments) for segments in real] == [0, 2, 1, 2, 1, 1, 1]
    for ours, theirs, (_, path) in zip(reference, real, sources, strict=True):
        places = [segment.source for segment in ours + theirs]
        assert len(set(places)) == len(places)
        assert all(place.startswith(f"{path} @ ") for place in places)


def test_shuffled_clips_are_blocks_of_real_ones(ramp: Callable[[str, float], Recording]) -> None:
    real = segments_of(ramp("real.wav", 16), "", N)
    blocks = np.concatenate([segment.read() for segment in real]).reshape(-1, BLOCK_SIZE)
    clips = shuffled(real, 4, seed=3)
    firsts = []
    for clip in clips:
        for block in clip.read().reshape(-1, BLOCK_SIZE):
            (place,) = np.flatnonzero((blocks == block).all(axis=1))
            firsts.append(int(place))
    assert len(set(firsts)) > 4
    assert firsts != sorted(firsts)
    np.testing.assert_array_equal(clips[1].read(), shuffled(real, 2, seed=3)[1].read())
    assert not np.array_equal(clips[1].read(), shuffled(real, 2, seed=4)[1].read())


def test_noise_is_white_and_silence_is_silent() -> None:
    first, second = (segment.read() for segment in anchors.noise(2, 40_000, seed=0))
    assert first.std() == pytest.approx(0.05, rel=0.02)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[1:], first[:-1])[0, 1]) < 0.03
    assert not silence(1, 100)[0].read().any()


def test_the_place_of_classic_is_its_content(folder: Path, tmp_path: Path) -> None:
    settings = classic_settings()
    place = classic_path(Corpus.open(folder), settings)
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert classic_path(Corpus.open(moved), settings) == place
    assert classic_path(Corpus.open(folder), settings.with_values({"steps": 7})) != place
    soundfile.write(moved / "melody_0.wav", noise(40_000), SAMPLE_RATE)
    assert classic_path(Corpus.open(moved), settings) != place
    assert settings.preset == "classic"


def test_a_classic_of_another_format_is_not_taken(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    place = classic_path(corpus, classic_settings())
    monkeypatch.setattr(anchors, "FORMAT", 99)
    assert classic_path(corpus, classic_settings()) != place


def test_classic_is_trained_and_kept(corpus: Corpus, tiny: Settings, cache: Path) -> None:
    done: list[int] = []
    path = classic_path(corpus, tiny)
    train_classic(corpus, tiny, path, done.append)
    assert sum(done) == tiny.training.steps
    kept = checkpoint.load(path)
    assert kept.settings == tiny
    assert kept.excerpts
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # and nothing else


def test_three_classics_are_kept(corpus: Corpus, tiny: Settings, cache: Path) -> None:
    path = classic_path(corpus, tiny)
    path.parent.mkdir()
    for n in range(4):
        with (path.parent / f"{n}.safetensors").open("wb") as file:
            file.truncate(100 * 10**6)  # of holes
        os.utime(file.name, (1e9 - n, 1e9 - n))
    train_classic(corpus, tiny, path, lambda n: None)
    assert {each.name for each in path.parent.iterdir()} == {path.name, "0.safetensors", "1.safetensors"}


def test_a_cache_that_cannot_be_written(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match=r"anchor\.safetensors: cannot be written \(.*\); set QUARTERWAVE_CACHE"):
        train_classic(corpus, tiny, tmp_path / "file" / "anchor.safetensors", lambda n: None)
