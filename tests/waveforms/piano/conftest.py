"""What the tests of this room share."""

import pytest

from waveforms.piano.pieces import Piece, first_pieces
from waveforms.piano.score import Measure, Score, WrittenNote


def chords(n_bars: int = 8, *, tempo: float = 60.0) -> Score:
    """Bars of four quarter notes: a melody over a bass and an inner voice that change with every bar."""
    notes = [
        WrittenNote(4.0 * bar + beat, 1.0, pitch + bar % 3)
        for bar in range(n_bars)
        for beat in range(4)
        for pitch in (48, 60, 72 + beat)
    ]
    return Score(tuple(sorted(notes)), tuple(Measure(4.0 * bar, 4.0, 1.0, tempo) for bar in range(n_bars)))


@pytest.fixture(scope="package")
def base() -> list[Piece]:
    """The base repertoire, which takes a second to read."""
    return first_pieces()
