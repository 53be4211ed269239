"""Whether notes are those of a recording, and by how much they are late."""

import numpy as np
import pytest

from tests.waveforms.notes.music import little_piece
from waveforms.notes import Notes
from waveforms.notes.fit import DoesNotFitError, find_offset

SECONDS = 60.0
PIECE = Notes.of_performance(little_piece(0, SECONDS))


def heard(notes: Notes = PIECE, *, missed: float = 0.15, seed: int = 0) -> list[tuple[float, float, Notes]]:
    """Three excerpts as a transcriber may hear them: some notes missed, some made up, onsets not exact."""
    rng = np.random.default_rng(seed)
    rows = [
        (onset + rng.normal(0, 0.008), offset, int(pitch) + 12 * (rng.random() < 0.05), velocity)
        for onset, offset, pitch, velocity in zip(
            notes.onsets, notes.offsets, notes.pitches, notes.velocities, strict=True
        )
        if rng.random() > missed
    ]
    found = Notes.of(rows)
    return [(start, start + 12.0, found.between(start, start + 12.0)) for start in (0.0, 24.0, 48.0)]


def test_a_file_that_fits_is_in_time() -> None:
    assert find_offset(PIECE, heard(), SECONDS) == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize("late", [-0.9, -0.07, 0.7])
def test_a_file_that_is_early_or_late(late: float) -> None:
    assert find_offset(PIECE.moved(seconds=-late), heard(), SECONDS) == pytest.approx(late, abs=0.005)


def test_many_missed_notes_are_no_other_piece() -> None:
    assert find_offset(PIECE, heard(missed=0.5), SECONDS) == pytest.approx(0, abs=0.005)


@pytest.mark.parametrize(
    "other",
    [
        Notes.of_performance(little_piece(1, SECONDS)),
        PIECE.moved(semitones=1),
        PIECE.moved(seconds=-4.0),
        Notes.of([(0.5, 1.0, 60, 64)]),
    ],
)
def test_other_music_does_not_fit(other: Notes) -> None:
    with pytest.raises(
        DoesNotFitError,
        match=r"^its notes and those that are heard agree by \d+ % \(F1 within 50 ms\), "
        r"and by chance it would be \d+ %$",
    ):
        find_offset(other, heard(), SECONDS)


def test_half_the_tempo_does_not_fit() -> None:
    with pytest.raises(DoesNotFitError, match=r"its last note begins at 1\d\d\.\d s, and the recording lasts 60\.0 s"):
        find_offset(Notes.of_performance(little_piece(0, SECONDS, tempo=0.5)), heard(), SECONDS)


def test_twice_the_tempo_does_not_fit() -> None:
    with pytest.raises(DoesNotFitError, match="agree by"):
        find_offset(Notes.of_performance(little_piece(0, SECONDS, tempo=2.0)), heard(), SECONDS)


def test_a_file_that_leaves_the_recording_half_way() -> None:
    first = PIECE.between(0.0, 30.0)
    rest = Notes.of_performance(little_piece(5, SECONDS)).between(30.0, SECONDS)
    both = Notes.of(
        (on, off, int(pitch), velocity)
        for part in (first, rest)
        for on, off, pitch, velocity in zip(part.onsets, part.offsets, part.pitches, part.velocities, strict=True)
    )
    with pytest.raises(DoesNotFitError, match=r"^from 48 to 60 s, its notes and those that are heard agree by \d+ %"):
        find_offset(both, heard(), SECONDS)
