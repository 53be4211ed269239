"""Works -> pieces of about a minute, as many as are asked for, always in the same order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, count, islice, zip_longest
from pathlib import Path

from waveforms.piano.musicxml import read_musicxml
from waveforms.piano.repertoire import WORKS, Work, corpus_folder, further_chorales
from waveforms.piano.score import Score, divide, repeat, retime, transpose

PIECE_SECONDS = 62.0  # near the length of the parts of a long work
SHORTEST_SECONDS = 38.0  # a shorter work is repeated, as the verses of a hymn
# When all works are used up they return in other keys and tempos, in these steps.
TRANSPOSITIONS = (-1, 2, -3, 1, -2, 3, -4, 4)  # semitones
TEMPOS = (1.04, 0.97, 0.94, 1.07)  # times the work's own


@dataclass(frozen=True, slots=True)
class Piece:
    """The music of one recording of the corpus.

    Attributes:
        name: a unique name, which seeds its randomness and names its file.
        work: the work that it comes from.
        score: the notes.
        treatment: the changes to the work, in words.
    """

    name: str
    work: Work
    score: Score
    treatment: str


def first_pieces(n_pieces: int | None = None) -> list[Piece]:
    """Return the first `n_pieces`, or the base repertoire for None.

    The parts of a work take turns with other works' parts, so that a few pieces are varied, too.

    Raises:
        QuarterwaveError: music21 is missing.
        CorpusError: one of its scores cannot be read.
    """
    folder = corpus_folder()
    base = _dealt(_parts(folder, work) for work in WORKS)
    if n_pieces is None:
        return list(base)
    chorales = chain.from_iterable(_parts(folder, work) for work in further_chorales(folder))
    return list(islice(chain(base, chorales, _variations(folder)), n_pieces))


def _dealt(works: Iterator[list[Piece]]) -> Iterator[Piece]:
    """Yield the first parts of all works, then the second parts, and so on."""
    for row in zip_longest(*works):
        yield from (piece for piece in row if piece is not None)


def _parts(folder: Path, work: Work) -> list[Piece]:
    """Divide one work into pieces of about a minute."""
    score = retime(read_musicxml(folder / work.source), tempo=work.tempo)
    n_verses = max(1, round(PIECE_SECONDS / score.seconds)) if score.seconds < SHORTEST_SECONDS else 1
    score = repeat(score, n_verses)
    n_parts = max(1, round(score.seconds / PIECE_SECONDS))
    treatment = f"played {n_verses} times" if n_verses > 1 else "whole"
    if n_parts == 1:
        return [Piece(work.slug, work, score, treatment)]
    return [
        Piece(f"{work.slug}_{index}of{n_parts}", work, part, f"part {index} of {n_parts}")
        for index, part in enumerate(divide(score, n_parts), start=1)
    ]


def _variations(folder: Path) -> Iterator[Piece]:
    """Yield all pieces again and again, each time in another key and tempo."""
    for n in count():
        semitones = TRANSPOSITIONS[n % len(TRANSPOSITIONS)]
        faster = TEMPOS[n % len(TEMPOS)] ** (1 + n // len(TRANSPOSITIONS))
        for work in chain(WORKS, further_chorales(folder)):
            for piece in _parts(folder, work):
                change = f"moved by {semitones:+d} semitones, tempo times {faster:.3g}"
                yield replace(
                    piece,
                    name=f"{piece.name}_again{n + 1}",
                    score=retime(transpose(piece.score, semitones), faster=faster),
                    treatment=f"{piece.treatment}, {change}",
                )
