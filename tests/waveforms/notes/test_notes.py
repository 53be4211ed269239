"""Notes that sound when keys and a pedal are played, their MIDI files, and pairs of the same notes."""

from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from waveforms.errors import OutputError
from waveforms.notes import Note, Notes, PedalSpan, Performance
from waveforms.notes.events import match
from waveforms.notes.midi import find_midi_beside, read_midi, write_midi

PLAYED = st.lists(
    st.tuples(st.floats(0, 5), st.floats(0.02, 3), st.integers(21, 108), st.integers(1, 127)), min_size=1, max_size=30
)


def rows(notes: Notes) -> list[tuple[float, float, int, float]]:
    return list(
        zip(
            notes.onsets.tolist(),
            notes.offsets.tolist(),
            notes.pitches.tolist(),
            notes.velocities.tolist(),
            strict=True,
        )
    )


def test_a_note_sounds_until_key_and_pedal_are_up() -> None:
    performance = Performance(
        "a",
        (Note(0.0, 1.0, 60, 80), Note(0.5, 0.2, 64, 70), Note(2.5, 0.5, 67, 60)),
        (PedalSpan(0.9, 2.0),),
    )
    assert rows(Notes.of_performance(performance)) == [(0.0, 2.0, 60, 80), (0.5, 0.7, 64, 70), (2.5, 3.0, 67, 60)]


def test_a_key_struck_again_ends_its_note() -> None:
    notes = Notes.of([(1.0, 4.0, 60, 50), (0.0, 3.0, 60, 80), (0.0, 3.0, 64, 80)])
    assert rows(notes) == [(0.0, 1.0, 60, 80), (0.0, 3.0, 64, 80), (1.0, 4.0, 60, 50)]


@given(PLAYED)
def test_no_two_notes_of_a_key_overlap(played: list[tuple[float, float, int, int]]) -> None:
    notes = Notes.of((onset, onset + length, pitch, velocity) for onset, length, pitch, velocity in played)
    assert (np.diff(notes.onsets) >= 0).all()
    for pitch in set(notes.pitches.tolist()):
        of_key = notes.pitches == pitch
        assert (notes.onsets[of_key][1:] >= notes.offsets[of_key][:-1]).all()
    assert {(p, round(on, 5)) for on, _, p, _ in rows(notes)} <= {(p, round(on, 5)) for on, _, p, _ in played}


@given(PLAYED)
def test_a_midi_file_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, played: list) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    notes = Notes.of((onset, onset + length, pitch, velocity) for onset, length, pitch, velocity in played)
    write_midi(path, notes.to_performance("a"))
    again = Notes.of_performance(read_midi(path))
    tick = 0.0006
    expected = [row for row in rows(notes) if row[1] - row[0] > 3 * tick]
    found = rows(again)
    for onset, offset, pitch, velocity in expected:
        assert any(
            abs(on - onset) <= tick and abs(off - offset) <= max(tick, 0.02) and p == pitch and v == velocity
            for on, off, p, v in found
        )
    assert mido.MidiFile(path).type == 0


def test_the_pedal_is_written_too(tmp_path: Path) -> None:
    performance = Performance("a", (Note(0.25, 0.5, 60, 80),), (PedalSpan(0.0, 1.0), PedalSpan(1.5, 2.0)))
    write_midi(tmp_path / "a.mid", performance)
    again = read_midi(tmp_path / "a.mid")
    assert [(p.start, p.end) for p in again.pedal] == [
        (pytest.approx(0.0), pytest.approx(1.0, abs=1e-3)),
        (pytest.approx(1.5, abs=1e-3), pytest.approx(2.0, abs=1e-3)),
    ]


def test_a_midi_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"a\.mid: cannot be written: file exists"):
        write_midi(tmp_path / "file" / "a.mid", Performance("a", (Note(0.0, 1.0, 60, 80),)))


@pytest.mark.parametrize("name", ["take.mid", "take.midi", "take.MID"])
def test_the_midi_file_of_a_recording_lies_beside_it(tmp_path: Path, name: str) -> None:
    assert find_midi_beside(tmp_path / "take.wav") is None
    (tmp_path / name).touch()
    assert find_midi_beside(tmp_path / "take.wav") == tmp_path / name


def test_moved_notes_that_leave_the_keyboard_are_left_out() -> None:
    notes = Notes.of([(0.0, 1.0, 21, 80), (1.0, 2.0, 60, 80)]).moved(seconds=0.5, semitones=-1)
    assert rows(notes) == [(1.5, 2.5, 59, 80)]


SOME = st.lists(st.tuples(st.floats(0, 1), st.integers(60, 62)), max_size=15)


def notes_of(rows: list[tuple[float, int]]) -> Notes:
    return Notes.of((onset, onset + 0.01, pitch, 64) for onset, pitch in rows)


@given(SOME, SOME)
def test_no_matching_has_more_pairs(reference: list[tuple[float, int]], estimated: list[tuple[float, int]]) -> None:
    a, b = notes_of(reference), notes_of(estimated)
    near = np.abs(np.subtract.outer(a.onsets, b.onsets)) <= 0.05
    possible = near & np.equal.outer(a.pitches, b.pitches)
    pairs = match(a, b)
    assert all(possible[i, j] for i, j in pairs)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    n_most = np.count_nonzero(maximum_bipartite_matching(csr_array(possible.astype(int))) >= 0) if possible.size else 0
    assert len(pairs) == n_most
