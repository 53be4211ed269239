"""What a checkpoint and those before it learned from is known to all that go on from it, and never held out."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.cli.main import main
from pipeline.config import BEST, LAST, Settings
from pipeline.training.begin import Run, begin
from pipeline.training.lineage import trained_on
from pipeline.training.loop import fit
from pipeline.training.request import TrainRequest
from tests.pipeline.conftest import TINY, as_flags, melody
from tests.pipeline.training.runs import Recorder, resumed, trained
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.errors import CorpusError

WORKS = ["rag_1of2", "rag_2of2", "air", "hymn_take1", "hymn_take2"]


def write(folder: Path, names: list[str], first: int = 0) -> Path:
    folder.mkdir(parents=True)
    for n, name in enumerate(names, start=first):
        soundfile.write(folder / f"{name}.wav", melody(n, 1.5), SAMPLE_RATE)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three works, of which the air is held out; a run of them; and other folders to go on with."""
    home = tmp_path_factory.mktemp("home")
    write(home / "takes", WORKS)
    write(home / "more", ["lied", "rag_take7", "waltz in a"], first=10)
    write(home / "renamed", ["x", "y"])  # the sound of the rag
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
        run = ["train", "takes", "--preset=classic", "--held-out=air.wav", "--out=first"]
        assert main([*run, *as_flags(TINY | {"steps": 3})]) == 0
        yield home


def begun(places: Path, start: Path, out: Path, *callbacks: Recorder, **others: Any) -> Run:
    """A run that begins with a checkpoint."""
    return begin(TrainRequest([places], out, start=start, **others), callbacks)


@pytest.fixture(scope="module")
def first(home: Path) -> Checkpoint:
    return checkpoint.load(home / "first" / BEST)


def test_a_split_has_the_work_and_sound_of_each_recording(home: Path, first: Checkpoint) -> None:
    corpus = Corpus.open(home / "takes")
    assert first.split == {
        "places": [str(home / "takes")],
        "training": ["hymn_take1.wav", "hymn_take2.wav", "rag_1of2.wav", "rag_2of2.wav"],
        "validation": ["air.wav"],
        "music": {"folder": None, "names": []},
        "recordings": {r.name: {"digest": r.findings.digest, "work": r.name[:4].strip("_.")} for r in corpus}
        | {"air.wav": {"digest": corpus["air.wav"].findings.digest, "work": "air"}},
    }
    assert first.ancestors == []


def test_ancestors_travel_oldest_first(home: Path, first: Checkpoint, tmp_path: Path) -> None:
    values = {"steps": 2, "validate_every": 2, "warmup_steps": 1}
    run = begun(home / "more", home / "first" / BEST, tmp_path / "2", held_out=["lied.wav"], values=values)
    second = fit(run).run.checkpoint
    third = begun(home / "takes", tmp_path / "2" / BEST, tmp_path / "3").checkpoint
    assert [ancestor["steps"] for ancestor in third.ancestors] == [3, 2]
    assert [ancestor["split"] for ancestor in third.ancestors] == [first.split, second.split]
    assert [ancestor["history"] for ancestor in third.ancestors] == [first.history, second.history]
    assert third.ancestors[0]["provenance"] == first.provenance
    assert third.split["validation"] == ["air.wav"]  # all that neither was trained on
    assert trained_on(third.ancestors).works == {"rag", "hymn", "waltz in a"}


@pytest.mark.usefixtures("first")
@pytest.mark.parametrize("share", [0.1, 0.9])
def test_what_was_trained_on_is_not_held_out(home: Path, tmp_path: Path, share: float) -> None:
    recorder = Recorder()
    child = begun(home / "takes", home / "first" / BEST, tmp_path, recorder, values={"held_out_share": share})
    assert child.checkpoint.split["validation"] == ["air.wav"]
    assert recorder.messages == [
        "stay for training, as the checkpoint has learned from them or their works: hymn_take1.wav, hymn_take2.wav, "
        "rag_1of2.wav, rag_2of2.wav"
    ]


def test_a_new_take_of_a_work_that_was_trained_on_is_not_held_out(home: Path, tmp_path: Path) -> None:
    child = begun(home / "more", home / "first" / BEST, tmp_path, values={"held_out_share": 0.9}).checkpoint
    assert "rag_take7.wav" in child.split["training"]
    assert set(child.split["validation"]) <= {"lied.wav", "waltz in a.wav"}


def test_a_checkpoint_of_the_old_format_is_known_by_names(home: Path, first: Checkpoint, tmp_path: Path) -> None:
    old = {name: {"digest": None, "work": found["work"]} for name, found in first.split["recordings"].items()}
    checkpoint.save(replace(first, split=first.split | {"recordings": old}), tmp_path / BEST)
    child = begun(home / "takes", tmp_path / BEST, tmp_path / "child").checkpoint
    assert child.split["validation"] == ["air.wav"]
    with pytest.raises(CorpusError, match="nothing is left to hold out"):
        begun(home / "takes", tmp_path / BEST, tmp_path / "other", held_out=["rag*"])


def test_the_sound_is_known_under_any_name(home: Path, tmp_path: Path) -> None:
    with pytest.raises(CorpusError) as caught:
        begun(home / "renamed", home / "first" / BEST, tmp_path)
    assert str(caught.value) == (
        f"{home}/renamed: nothing is left to hold out: the checkpoint that this run begins with, or one before it, was "
        "trained on x.wav, y.wav, or on the same works; hold out or add others, or begin from nothing"
    )


def test_a_journey_from_a_checkpoint(
    home: Path, first: Checkpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    further = ["train", "takes", "more", f"--from=first/{BEST}", "--steps=1", "--warmup-steps=1", "--out=further"]
    assert main([*further, "--held-out=*_1of2.wav", "--held-out=air.wav", "--held-out=lied.wav"]) == 0
    printed = capsys.readouterr().out
    assert (
        "stay for training, as the checkpoint has learned from them or their works: more/rag_take7.wav, "
        "takes/rag_1of2.wav, takes/rag_2of2.wav\n"
    ) in printed
    assert "8 recordings, 12 s: 6 to learn from, 2 held out" in printed

    assert main(["inspect", f"further/{LAST}"]) == 0
    printed = capsys.readouterr().out
    assert f"learned from 6 recordings of {home}/takes, {home}/more; held out: more/lied.wav, takes/air.wav" in printed
    assert "ancestor 1: 3 steps, learned from 4 recordings\n" in printed
    assert main(["inspect", f"further/{LAST}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ancestors"][0]["split"] == first.split

    assert main(["train", "renamed", f"--from=first/{BEST}", "--out=none"]) == 1
    sentence = capsys.readouterr().err
    assert sentence.startswith("quarterwave: renamed: nothing is left to hold out: the checkpoint that this run begins")
    assert sentence.count("\n") == 1
    assert not (home / "none" / LAST).exists()


def test_works_are_shown_and_held_out_as_wholes(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    assert main(["inspect", "takes"]) == 0
    shown = "3 works, each held out as a whole; of several recordings: hymn (2), rag (2)\n"
    assert shown in capsys.readouterr().out
    run = ["train", "takes", "--preset=classic", "--held-out=rag_2of2.wav", "--out=rags"]
    assert main([*run, *as_flags(TINY | {"steps": 1})]) == 0
    assert "held out as well, being of the same works: rag_1of2.wav\n" in capsys.readouterr().out
    assert checkpoint.read_document(home / "rags" / LAST)["split"]["validation"] == ["rag_1of2.wav", "rag_2of2.wav"]
    lines = [{"path": "takes/rag_1of2.wav", "split": "training"}, {"path": "takes/rag_2of2.wav", "split": "validation"}]
    (home / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["train", "list.jsonl", "--out=none"]) == 1
    assert capsys.readouterr().err == (
        "quarterwave: list.jsonl: a work lies on one side of the split, and 'rag' is on both: takes/rag_1of2.wav "
        'for training, takes/rag_2of2.wav for validation; give them one "split", or, if these are two works, a "group" '
        "each\n"
    )


def test_what_is_held_out_of_one_work_is_reported(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
    write(home / "one", ["rag_take1", "rag_take2", "rag_take3"], first=20)
    assert main(["train", "one", "--preset=classic", "--out=one-run", *as_flags(TINY | {"steps": 1})]) == 0
    assert "all 3 recordings are of one work, 'rag', so none is new to the model\n" in capsys.readouterr().out
    assert main(["inspect", f"one-run/{LAST}"]) == 0
    assert "\nheld out, and yet of works that it learned from: rag_take" in capsys.readouterr().out
    assert main(["inspect", f"first/{LAST}"]) == 0
    assert "and yet" not in capsys.readouterr().out


def test_each_part_of_a_resumed_run_has_its_versions(
    corpus: Corpus, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(corpus, tiny, tmp_path, Recorder(stop_after=5))
    here = checkpoint.versions()
    monkeypatch.setattr("pipeline.checkpoint.versions", lambda: here | {"torch": "99.0", "machine": "another"})
    resumed(corpus, tmp_path)
    provenance = [{"first_step": 0} | here, {"first_step": 5} | here | {"torch": "99.0", "machine": "another"}]
    assert checkpoint.load(tmp_path / LAST).provenance == provenance
    assert here.keys() >= {"quarterwave", "python", "machine", "torch", "numpy", "soundfile", "soxr", "safetensors"}
