"""The anchor is trained once for a sound, wherever it lies, and again for another."""

import os
import shutil
from pathlib import Path

import pytest
import soundfile

from pipeline import checkpoint
from pipeline.config import Settings
from pipeline.evaluation import EvaluationError
from pipeline.evaluation import ancestor as classic
from pipeline.evaluation.ancestor import anchor_settings, place_of, train_anchor
from tests.conftest import noise
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus


def test_its_place_is_its_content(folder: Path, tmp_path: Path) -> None:
    settings = anchor_settings()
    place = place_of(Corpus.open(folder), settings)
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    assert place_of(Corpus.open(moved), settings) == place
    assert place_of(Corpus.open(folder), settings.with_values({"steps": 7})) != place
    soundfile.write(moved / "melody_0.wav", noise(40_000), SAMPLE_RATE)
    assert place_of(Corpus.open(moved), settings) != place
    assert settings.preset == "classic"


def test_one_of_another_format_is_not_taken(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    place = place_of(corpus, anchor_settings())
    monkeypatch.setattr(classic, "FORMAT", 99)
    assert place_of(corpus, anchor_settings()) != place


def test_it_is_trained_and_kept(corpus: Corpus, tiny: Settings, cache: Path) -> None:
    told: list[int] = []
    path = place_of(corpus, tiny)
    train_anchor(corpus, tiny, path, told.append)
    assert sum(told) == tiny.training.steps
    kept = checkpoint.load(path)
    assert kept.settings == tiny
    assert kept.excerpts
    assert [each.name for each in path.parent.iterdir()] == [path.name]  # and nothing else


def test_three_are_kept(corpus: Corpus, tiny: Settings, cache: Path) -> None:
    path = place_of(corpus, tiny)
    path.parent.mkdir()
    for n in range(4):
        with (path.parent / f"{n}.safetensors").open("wb") as file:
            file.truncate(100 * 10**6)  # of holes
        os.utime(file.name, (1e9 - n, 1e9 - n))
    train_anchor(corpus, tiny, path, lambda n: None)
    assert {each.name for each in path.parent.iterdir()} == {path.name, "0.safetensors", "1.safetensors"}


def test_a_cache_that_cannot_be_written(corpus: Corpus, tiny: Settings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EvaluationError, match=r"anchor\.safetensors: cannot be written \(.*\); set QUARTERWAVE_CACHE"):
        train_anchor(corpus, tiny, tmp_path / "file" / "anchor.safetensors", lambda n: None)
