"""The base repertoire and its variations; and each setting is in the demo corpus once, whatever its number."""

from collections import defaultdict
from collections.abc import Iterable

import pytest

from waveforms.piano import pieces, repertoire
from waveforms.piano.musicxml import read_musicxml
from waveforms.piano.pieces import Piece, first_pieces
from waveforms.piano.repertoire import TWICE, WORKS, corpus_folder, further_chorales
from waveforms.piano.score import retime

RUN = 4  # chords
ALIKE = 0.3  # of the runs of the shorter one
BY_NUMBER = {"bwv248.23-s", "bwv248.42-s", "bwv248.64-s"}  # with and without interludes of the orchestra


def runs_of(name: str) -> set[tuple[tuple[int, ...], ...]]:
    """Chords that follow each other in a chorale, in whatever key and octave."""
    score = retime(read_musicxml(corpus_folder() / f"bach/{name}.mxl"), tempo=60)
    at: dict[float, set[int]] = defaultdict(set)
    for note in score.notes:
        at[round(float(note.onset), 3)].add(note.pitch)
    chords = [at[onset] for onset in sorted(at)]
    starts = range(len(chords) - RUN + 1)
    return {_from_lowest(chords[n : n + RUN], min(chords[n])) for n in starts}


def _from_lowest(chords: Iterable[set[int]], lowest: int) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(sorted({(pitch - lowest) % 12 for pitch in chord})) for chord in chords)


def shared(one: str, other: str) -> float:
    runs = runs_of(one), runs_of(other)
    return len(runs[0] & runs[1]) / min(map(len, runs))


@pytest.mark.parametrize(("left_out", "played"), TWICE.items())
def test_what_is_left_out_is_played_under_another_number(left_out: str, played: str) -> None:
    sources = {work.source for work in (*WORKS, *further_chorales(corpus_folder()))}
    assert f"bach/{left_out}.mxl" not in sources
    assert f"bach/{played}.mxl" in sources
    assert (shared(left_out, played) >= ALIKE) is (left_out not in BY_NUMBER)


def test_other_settings_share_less() -> None:
    assert shared("bwv244.54", "bwv244.62") < ALIKE  # of one tune
    assert shared("bwv269", "bwv80.8") < ALIKE / 3


def test_base_repertoire_is_large_varied_and_of_minutes(base: list[Piece]) -> None:
    assert len(base) >= 24
    assert len({piece.name for piece in base}) == len(base)
    assert len({piece.work.composer for piece in base}) >= 8
    assert all(40 < piece.score.seconds < 80 for piece in base)
    assert len({piece.work.composer for piece in base[:6]}) == 6
    assert all(piece.work.licence for piece in base)


def test_more_pieces_begin_with_the_same_and_never_end(base: list[Piece], monkeypatch: pytest.MonkeyPatch) -> None:
    assert [piece.name for piece in first_pieces(len(base) + 5)][: len(base)] == [piece.name for piece in base]
    monkeypatch.setattr(pieces, "WORKS", WORKS[:2])
    monkeypatch.setattr(pieces, "further_chorales", lambda folder: list(repertoire.further_chorales(folder))[:1])
    many = first_pieces(20)
    assert len({piece.name for piece in many}) == 20
    assert many[4].name == f"{many[0].name}_again1"
    assert many[4].treatment == "part 1 of 2, moved by -1 semitones, tempo times 1.04"
    assert [n.pitch for n in many[4].score.notes] == [n.pitch - 1 for n in many[0].score.notes]
    assert many[4].score.seconds == pytest.approx(many[0].score.seconds / 1.04)
