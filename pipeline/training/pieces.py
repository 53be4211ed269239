"""What training reads: pieces of music, as recordings with their notes or as notes alone."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from pipeline.checkpoint import Excerpt
from pipeline.codecs import Codec, Example
from waveforms import SAMPLE_RATE
from waveforms.audio.gain import to_int16
from waveforms.corpus import Corpus, Recording
from waveforms.corpus.notes import notes_of
from waveforms.errors import AudioError
from waveforms.notes.events import Notes
from waveforms.notes.midi import find_midi_files, read_midi

T = TypeVar("T")

SWEEP_BLOCKS = 256  # 64 s, 11 MB: an excerpt long enough that opening files costs nothing
MOST_EXCERPTS = 128  # that a codec is fitted on, 2.3 hours: means, variances and axes of more are the same
PROFILE_BLOCKS = 80  # 20 s of a recording tell its gain, colour and noise
LONGEST_SILENCE = 2.0  # seconds before the first note of a MIDI file
SILENT_BLOCKS = 4  # after the last damper of a piece that has no recording
N_EXCERPTS = 8  # that a checkpoint carries
EXCERPT_BLOCKS = 80  # 20 s of the piano: room for many prompts of a few seconds, 1.8 MB each
HELD_OUT_SEQUENCES = 4  # training sequences in a held-out row: a model should know where it is


@dataclass(frozen=True, eq=False)
class Piece:
    """Music to learn from.

    Attributes:
        name: of the recording or MIDI file.
        block_size: samples in a block of the codec.
        notes: in seconds from its beginning; None where the codec reads none.
        recording: None where there are notes alone.
        profile: of the recording, (2 * N_CURVES,); None before it is known, and where the codec reads no notes.
        transcribed: whether a transcriber found the notes, so that velocities and offsets are estimates.
    """

    name: str
    block_size: int
    notes: Notes | None
    recording: Recording | None = None
    profile: Tensor | None = None
    transcribed: bool = False

    @property
    def n_blocks(self) -> int:
        """Its length."""
        if self.recording is not None:
            return -(-self.recording.n_samples // self.block_size)
        assert self.notes is not None
        return int(self.notes.seconds * SAMPLE_RATE / self.block_size) + SILENT_BLOCKS


class Span(NamedTuple):
    """Blocks of one piece in a row of a batch.

    Attributes:
        piece: what is played.
        first: index of the first of these blocks in the piece.
        n_blocks: how many.
        at: index of the first of them in the row.
    """

    piece: Piece
    first: int
    n_blocks: int
    at: int


def pieces_of(
    corpus: Corpus,
    codec: Codec,
    progress: Callable[[float, float], None] = lambda done, total: None,
    report: Callable[[str], None] = lambda sentence: None,
) -> list[Piece]:
    """The recordings of a corpus, with their notes where the codec reads notes.

    Args:
        corpus: the recordings.
        codec: that will read them.
        progress: called with the seconds whose notes are known, and all seconds.
        report: called with a sentence for each MIDI file beside a recording that is left aside.

    Raises:
        AudioError: a recording has changed or gone.
    """
    pieces, seconds = [], 0.0
    for recording in corpus:
        if not codec.reads_notes:
            pieces.append(Piece(recording.name, codec.block_size, None, recording))
            continue
        found = notes_of(recording)
        if found.problem is not None:
            report(f"left aside: {found.problem}; the notes of {recording.name} are transcribed")
        pieces.append(Piece(recording.name, codec.block_size, found.notes, recording, transcribed=found.midi is None))
        seconds += recording.seconds
        progress(seconds, corpus.seconds)
    return pieces


def fitted_to(pieces: Sequence[Piece], codec: Codec) -> list[Piece]:
    """Pieces as a fitted codec knows them: with profiles, and transcribed notes refined by the sound."""
    return [_fitted_to(piece, codec) for piece in pieces] if codec.reads_notes else list(pieces)


def midi_pieces(folder: Path, codec: Codec) -> tuple[list[Piece], list[AudioError]]:
    """Every MIDI file of a folder as notes alone, by its path in the folder; and why some cannot be read.

    Raises:
        CorpusError: there is no such folder, or no MIDI file in it.
    """
    paths, problems = find_midi_files(folder)
    pieces = []
    for path in paths:
        try:
            performance = read_midi(path).beginning_within(LONGEST_SILENCE)
        except AudioError as error:
            problems.append(error)
        else:
            pieces.append(
                Piece(path.relative_to(folder).as_posix(), codec.block_size, Notes.of_performance(performance))
            )
    return pieces, problems


def examples(pieces: Sequence[Piece], codec: Codec) -> Iterator[Example]:
    """Recordings in examples of at most SWEEP_BLOCKS, in order, for what is fitted.

    All of a small corpus; of a large one MOST_EXCERPTS, spread evenly.
    """
    places = [
        (number, first) for number, piece in enumerate(pieces) for first in range(0, piece.n_blocks, SWEEP_BLOCKS)
    ]
    for number, first in thinned(places, MOST_EXCERPTS):
        piece = pieces[number]
        yield example(piece, first, min(SWEEP_BLOCKS, piece.n_blocks - first), codec, number)


def example(piece: Piece, first: int, n_blocks: int, codec: Codec, number: int = 0) -> Example:
    """Blocks of a recording."""
    assert piece.recording is not None
    notes = piece.notes.moved(seconds=-first * codec.block_seconds) if piece.notes is not None else None
    return Example(read_blocks(piece.recording, first, n_blocks, codec), notes, number, piece.transcribed)


def choose_excerpts(held_out: Sequence[Piece]) -> list[Excerpt]:
    """Excerpts for prompts, spread evenly over the held-out recordings; the longest that fit up to EXCERPT_BLOCKS."""
    n_each = math.ceil(N_EXCERPTS / len(held_out))
    n_recordings = min(N_EXCERPTS, len(held_out))
    chosen = []
    for n in range(n_recordings):
        piece = held_out[(2 * n + 1) * len(held_out) // (2 * n_recordings)]
        recording, size = piece.recording, piece.block_size
        assert recording is not None
        n_blocks = max(min(EXCERPT_BLOCKS, recording.n_samples // size), 1)
        n_places = min(n_each, piece.n_blocks // n_blocks)  # without overlap
        for place in range(n_places):
            first = place * (piece.n_blocks // n_places)
            samples = torch.from_numpy(to_int16(recording.read(first * size, (first + n_blocks) * size)))
            start, stop = first * size / SAMPLE_RATE, (first + n_blocks) * size / SAMPLE_RATE
            notes = (piece.notes or Notes.of([])).between(-math.inf, stop).sounding_from(start)
            chosen.append(Excerpt(recording.name, start, samples, notes.moved(seconds=-start)))
    return chosen[:N_EXCERPTS]


def held_out_rows(pieces: Sequence[Piece], sequence_blocks: int, most: int) -> list[list[Span]]:
    """Rows to validate on: pieces one after the other, divided into rows of HELD_OUT_SEQUENCES training sequences.

    Args:
        pieces: that are held out.
        sequence_blocks: of a training sequence.
        most: training sequences in all; of more, rows are spread evenly.
    """
    n_blocks = HELD_OUT_SEQUENCES * sequence_blocks
    rows: list[list[Span]] = [[]]
    room = n_blocks
    for piece in pieces:
        first = 0
        while first < piece.n_blocks:
            n = min(room, piece.n_blocks - first)
            rows[-1].append(Span(piece, first, n, n_blocks - room))
            first, room = first + n, room - n
            if not room:
                rows.append([])
                room = n_blocks
    return thinned([row for row in rows if row], max(most // HELD_OUT_SEQUENCES, 1))


def read_blocks(recording: Recording, first: int, n_blocks: int, codec: Codec) -> Tensor:
    """Blocks of a recording with the padding of a codec; silence outside the recording.

    Shape:
        (n_blocks * block_size + sum(padding),)
    """
    (before, after), size = codec.padding, codec.block_size
    return torch.from_numpy(recording.read(first * size - before, (first + n_blocks) * size + after))


def thinned(items: list[T], n_most: int) -> list[T]:
    """At most so many of the items, spread evenly."""
    if len(items) <= n_most:
        return items
    return [items[i * len(items) // n_most] for i in range(n_most)]


def _fitted_to(piece: Piece, codec: Codec) -> Piece:
    """The profile is from the middle of the recording; notes are refined SWEEP_BLOCKS at a time."""
    n_blocks = min(PROFILE_BLOCKS, piece.n_blocks)
    middle = example(piece, (piece.n_blocks - n_blocks) // 2, n_blocks, codec)
    profile = codec.profile(middle.waveform, middle.notes)
    notes = piece.notes
    if piece.transcribed and notes is not None:
        refined = Notes.of([])
        for first in range(0, piece.n_blocks, SWEEP_BLOCKS):
            part = example(piece, first, min(SWEEP_BLOCKS, piece.n_blocks - first), codec)
            begin, end = (n * codec.block_seconds for n in (first, first + SWEEP_BLOCKS))
            assert part.notes is not None
            of_part = codec.refine(part.waveform, part.notes, profile).moved(seconds=begin)
            refined = refined.joined(of_part.between(begin, end))
        notes = refined
    return replace(piece, notes=notes, profile=profile)
