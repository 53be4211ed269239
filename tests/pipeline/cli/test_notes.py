"""`quarterwave notes` on real files: transcribed, taken from MIDI, left aside; as text and as JSON."""

import json
from pathlib import Path

import pytest
import soundfile

from pipeline.cli.main import main
from tests.waveforms.notes.music import little_piece, sound_of
from waveforms import SAMPLE_RATE
from waveforms.notes import Notes
from waveforms.notes.midi import read_midi, write_midi
from waveforms.piano.render import ENDING

N_NOTES = len(little_piece(0, 5.0).notes)
SECONDS = little_piece(0, 5.0).seconds + ENDING


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings of one performance: alone, with its MIDI file, with that of another; and one that is none."""
    folder = tmp_path_factory.mktemp("home") / "takes"
    (folder / "more").mkdir(parents=True)
    sound = sound_of(little_piece(0, 5.0))
    soundfile.write(folder / "alone.wav", sound, SAMPLE_RATE)
    soundfile.write(folder / "more" / "true.flac", sound[:-1], SAMPLE_RATE)
    write_midi(folder / "more" / "true.mid", little_piece(0, 5.0))
    soundfile.write(folder / "false.wav", sound[:-2], SAMPLE_RATE)
    write_midi(folder / "false.mid", little_piece(7, 5.0))
    (folder / "broken.wav").write_bytes(b"RIFF")
    return folder


def test_notes_of_a_folder(takes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(takes.parent)
    before = sorted(takes.rglob("*"))
    assert main(["notes", "takes"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "left out: takes/broken.wav: " in text
    assert f"more/true.flac: {N_NOTES} notes, {N_NOTES / SECONDS:.1f} a second, MIDI beside it" in text
    assert "a second, transcribed; left aside: takes/false.mid: does not fit the recording: the sound rises" in text
    assert "notes of 3 recordings to notes/" in text
    assert sorted(takes.rglob("*")) == before
    written = sorted(path.relative_to("notes").as_posix() for path in Path("notes").rglob("*.mid"))
    assert written == ["alone.mid", "false.mid", "more/true.mid"]
    played, again = (Notes.of_performance(p) for p in (little_piece(0, 5.0), read_midi(Path("notes/more/true.mid"))))
    assert again.pitches.tolist() == played.pitches.tolist()
    assert len(read_midi(Path("notes/alone.mid")).notes) == pytest.approx(len(played), abs=4)

    assert main(["notes", "takes"]) == 1
    assert capsys.readouterr().err == "quarterwave: notes/alone.mid: exists already; --force overwrites\n"
    assert main(["notes", "takes", "--force"]) == 0


def test_json_and_nothing_else(takes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notes", str(takes), "--json", "--out", str(tmp_path / "out")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in document["recordings"]] == ["alone.wav", "false.wav", "more/true.flac"]
    assert [row["source"] for row in document["recordings"]] == ["transcribed", "transcribed", "MIDI beside it"]
    assert document["recordings"][2]["n_notes"] == N_NOTES
    assert "false.mid: does not fit" in document["recordings"][1]["left_aside"]
    assert document["recordings"][0]["left_aside"] is None
    assert [Path(problem["path"]).name for problem in document["problems"]] == ["broken.wav"]
    for row in document["recordings"]:
        assert Path(row["midi"]).is_file()


def test_recordings_of_one_stem_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("takes").mkdir()
    sound = sound_of(little_piece(0, 3.0))
    soundfile.write("takes/a.flac", sound, SAMPLE_RATE)
    soundfile.write("takes/a.wav", sound[:-1], SAMPLE_RATE)
    assert main(["notes", "takes", "--out", "midi"]) == 0
    assert sorted(path.name for path in Path("midi").iterdir()) == ["a.mid", "a.wav.mid"]


def test_a_folder_without_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("a")
    assert main(["notes", str(tmp_path)]) == 1
    assert "no usable recording among 1 files" in capsys.readouterr().err
