"""The notes of a recording: of a MIDI file beside it if that fits, else transcribed; and cached."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.waveforms.notes.music import f1, little_piece, sound_of
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.corpus import cache as cache_room
from waveforms.corpus import notes as recordings
from waveforms.corpus.notes import FoundNotes, notes_of
from waveforms.errors import AudioError
from waveforms.notes import Notes, Performance, transcriber
from waveforms.notes.midi import write_midi


@pytest.fixture
def take(tmp_path: Path) -> Path:
    """A recording in a folder of its own."""
    path = tmp_path / "takes" / "take.wav"
    path.parent.mkdir()
    soundfile.write(path, sound_of(little_piece()), SAMPLE_RATE)
    return path


def found(take: Path) -> FoundNotes:
    return notes_of(Corpus.open(take.parent)["take.wav"])


def write_beside(take: Path, performance: Performance) -> Path:
    midi = take.with_suffix(".mid")
    write_midi(midi, performance)
    return midi


def share_matched(notes: Notes, tolerance: float) -> float:
    return f1(Notes.of_performance(little_piece()), notes, tolerance)


def test_without_a_midi_file_the_notes_are_transcribed(take: Path) -> None:
    it = found(take)
    assert share_matched(it.notes, 0.05) > 0.85
    assert (it.midi, it.offset, it.problem) == (None, 0.0, None)


def test_a_midi_file_that_fits_is_taken(take: Path) -> None:
    midi = write_beside(take, little_piece())
    it = found(take)
    assert (it.midi, it.offset, it.problem) == (midi, 0.0, None)
    assert share_matched(it.notes, 0.001) == 1.0


def test_a_midi_file_that_is_late_is_moved(take: Path) -> None:
    late = Notes.of_performance(little_piece()).moved(seconds=0.7).to_performance("late")
    midi = write_beside(take, late)
    it = found(take)
    assert (it.midi, it.problem) == (midi, None)
    assert it.offset == pytest.approx(-0.7, abs=0.01)
    assert share_matched(it.notes, 0.015) == 1.0


@pytest.mark.parametrize("other", [little_piece(3), little_piece(tempo=2.0)])
def test_a_midi_file_of_other_music_is_left_aside(take: Path, other: Performance) -> None:
    midi = write_beside(take, other)
    it = found(take)
    assert share_matched(it.notes, 0.05) > 0.85
    assert it.midi is None
    assert it.problem is not None
    assert it.problem.path == midi
    assert it.problem.reason.startswith("does not fit the recording: the sound rises by ")


def test_a_midi_file_of_half_the_tempo_is_left_aside(take: Path) -> None:
    write_beside(take, little_piece(tempo=0.5))
    problem = found(take).problem
    assert problem is not None
    assert problem.reason.startswith("does not fit the recording: its last note begins at 1")


def test_a_midi_file_that_cannot_be_read_is_left_aside(take: Path) -> None:
    take.with_suffix(".mid").write_bytes(b"no MIDI at all")
    it = found(take)
    assert share_matched(it.notes, 0.05) > 0.85
    assert "take.mid: not a MIDI file that can be read" in str(it.problem)


def test_a_transcription_is_cached(take: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = found(take)
    records = list((cache / "surveys").glob("*.json"))

    def never(*_: object) -> Notes:
        raise AssertionError("it must not be transcribed again")

    with monkeypatch.context() as patch:
        patch.setattr(transcriber, "transcribe_stream", never)
        moved = take.rename(take.with_name("take.WAV")).rename(take)  # the name and place do not matter
        again = found(moved)
        np.testing.assert_array_equal(again.notes.onsets, first.notes.onsets)
        np.testing.assert_array_equal(again.notes.velocities, first.notes.velocities)
        for name in ("version", "code_digest"):  # the weights and the code do
            with patch.context() as inner:
                inner.setattr(transcriber if name == "version" else cache_room, name, lambda *_: "another")
                with pytest.raises(AssertionError, match="transcribed again"):
                    found(take)
    for record in records:
        record.write_bytes(record.read_bytes()[:-3])  # damaged: transcribed anew
    np.testing.assert_array_equal(found(take).notes.onsets, first.notes.onsets)


def test_a_midi_file_that_changes_is_looked_at_anew(take: Path) -> None:
    write_beside(take, little_piece(3))
    assert found(take).midi is None
    midi = write_beside(take, little_piece())
    assert found(take).midi == midi


def test_the_recording_itself_may_have_gone(take: Path) -> None:
    recording = Corpus.open(take.parent)["take.wav"]
    write_beside(take, little_piece())
    take.unlink()
    with pytest.raises(AudioError, match=r"take\.wav"):
        notes_of(recording)


def test_long_recordings_are_held_against_excerpts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "takes"
    folder.mkdir()
    monkeypatch.setattr(recordings, "EXCERPT_SECONDS", 2.0)
    performance = little_piece(0, 18.0)
    soundfile.write(folder / "take.wav", sound_of(performance), SAMPLE_RATE)
    midi = write_beside(folder / "take.wav", performance)
    seconds: list[float] = []
    it = notes_of(Corpus.open(folder)["take.wav"], seconds.append)
    assert it.midi == midi
    assert sum(seconds) == pytest.approx(10.0, abs=0.01)
