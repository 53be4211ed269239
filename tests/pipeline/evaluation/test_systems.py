"""Copies and skill of checkpoints: of one place, of several, and of places that are unknown or gone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline import checkpoint
from pipeline.config import BEST, preset_named
from pipeline.evaluation import EvaluationError
from pipeline.evaluation.clips import System
from pipeline.evaluation.copies import find_copies
from pipeline.evaluation.request import EvaluationRequest
from pipeline.evaluation.systems import Collection, Collector
from tests.pipeline.conftest import TINY, melody
from tests.pipeline.training.runs import trained
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus

PLACES = ("takes", "more.jsonl")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Runs over one place and over two, the first of them also without places, and clips for the anchor classic."""
    home = tmp_path_factory.mktemp("home")
    for n, name in enumerate(["takes/rag", "takes/air", "takes/hymn", "elsewhere/lied"]):
        (home / name).parent.mkdir(exist_ok=True)
        soundfile.write(home / f"{name}.wav", melody(n, 4.5), SAMPLE_RATE)
    (home / "more.jsonl").write_text('{"path": "elsewhere/lied.wav"}\n')
    (home / "hiss").mkdir()
    soundfile.write(home / "hiss/hiss.wav", np.random.default_rng(0).normal(0, 0.03, 4 * SAMPLE_RATE), SAMPLE_RATE)
    settings = preset_named("classic").with_values(TINY | {"steps": 1})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
        for name, places in {"one": PLACES[:1], "two": PLACES}.items():
            trained(Corpus.open(*places), settings, home / name, held_out=["air.wav"])
        run = checkpoint.load(home / "one" / BEST)
        checkpoint.save(replace(run, split=run.split | {"places": []}), home / "nowhere.safetensors")
        checkpoint.save(replace(run, ancestors=[{"split": run.split}]), home / "child.safetensors")
        yield home


def collected(home: Path, path: str, **options: Path) -> Collection:
    request = EvaluationRequest(
        [str(home / path)],
        home / "out",
        classic=home / "hiss",
        n_clips=2,
        seconds=1.0,
        **options,  # type: ignore[arg-type]
    )
    return Collector(request, lambda description, n_parts: lambda n_done: None).collect()


def system(found: Collection) -> System:
    return found.systems[0]


def test_a_run_over_several_places_has_copies_and_skill(home: Path) -> None:
    found = collected(home, "two")
    assert found.corpus.places == (f"{home}/takes", f"{home}/more.jsonl")
    assert [recording.name for recording in found.corpus][:2] == ["more.jsonl/elsewhere/lied.wav", "takes/air.wav"]
    run = system(found)
    assert run.index is not None
    for n, name in [(0, "takes/rag.wav"), (3, "more.jsonl/elsewhere/lied.wav")]:
        longest = find_copies(run.index, 0.5 * melody(n, 4.5)[SAMPLE_RATE : 3 * SAMPLE_RATE]).longest
        assert longest is not None
        assert (longest.recording, longest.seconds) == (name, pytest.approx(2.0, abs=0.1))
    assert {"skill_mean", "skill_decoded_mean"} <= run.skill.keys()
    assert not [note for note in found.notes if "no copies" in note or "no skill" in note]


def test_skill_on_works_that_it_was_trained_on_is_reported_as_such(home: Path) -> None:
    """As of checkpoints that were split recording by recording."""
    run = checkpoint.load(home / "one" / BEST)
    recordings = {name: each | {"work": "rag"} for name, each in run.split["recordings"].items()}
    checkpoint.save(replace(run, split=run.split | {"recordings": recordings}), home / "old.safetensors")
    sentence = (
        "1 of the 1 recordings that it holds out are of works that it was trained on, so its skill is not that on "
        "unseen music"
    )
    assert f"old: {sentence}" in collected(home, "old.safetensors").notes
    assert f"one: {sentence}" not in collected(home, "one").notes


def test_a_checkpoint_without_places_needs_a_reference(home: Path) -> None:
    with pytest.raises(EvaluationError) as caught:
        collected(home, "nowhere.safetensors")
    assert str(caught.value) == (
        f"{home}/nowhere.safetensors: does not say where the recordings are that it was trained on; name a folder of "
        "real recordings with --reference FOLDER"
    )


def test_a_checkpoint_without_places_says_what_to_name(home: Path) -> None:
    found = collected(home, "nowhere.safetensors", reference=home / "takes")
    assert (
        "nowhere: no copies and no skill: it does not say where the recordings are that it was trained on; name them "
        "with --trained-on FOLDER"
    ) in found.notes
    assert (system(found).index, system(found).skill) == (None, {})


def test_places_can_be_named_for_it(home: Path) -> None:
    found = collected(home, "nowhere.safetensors", reference=home / "takes", trained_on=home / "takes")
    assert system(found).index is not None
    assert "skill_mean" in system(found).skill


def test_what_is_lacking_is_named(home: Path) -> None:
    found = collected(home, "nowhere.safetensors", reference=home / "takes", trained_on=home / "elsewhere")
    (note,) = [note for note in found.notes if note.startswith("nowhere: no skill:")]
    assert note.startswith(
        f"nowhere: no skill: {home}/elsewhere: must hold the recordings that the checkpoint was not "
    )
    assert system(found).index is not None  # the user said so


def test_a_place_that_is_gone_is_named(home: Path) -> None:
    (home / "more.jsonl").rename(home / "moved.jsonl")
    try:
        with pytest.raises(EvaluationError) as caught:
            collected(home, "two")
        found = collected(home, "two", reference=home / "takes")
    finally:
        (home / "moved.jsonl").rename(home / "more.jsonl")
    assert str(caught.value) == (
        f"{home}/more.jsonl: {home}/two/{BEST} was trained on this, and it is gone; name another folder with "
        "--reference FOLDER"
    )
    assert f"two: no copies and no skill: {home}/more.jsonl: the list cannot be read (no such file or directory)" in (
        found.notes
    )


def test_prompts_that_it_was_trained_on_are_counted(home: Path) -> None:
    for name, n_known in {"one": 2, "child.safetensors": 2}.items():
        found = collected(home, name, prompts=home / "takes")
        assert (
            f"{Path(name).stem}: of the 3 recordings of {home}/takes, from which clips go on, it was trained on "
            f"{n_known}, or on their works"
        ) in found.notes
    assert not [note for note in collected(home, "one", prompts=home / "elsewhere").notes if "trained on" in note]


def test_copies_of_an_ancestors_recordings_are_not_found_and_a_note_says_so(home: Path) -> None:
    found = collected(home, "child.safetensors")
    assert system(found).index is not None
    assert "child: copies of what its ancestors were trained on are not found" in found.notes
