"""Training data: lanes in which pieces follow one another without end, divided into steps of equal length.

A batch has one row a lane. From step to step every lane goes on where it stopped, so a model carries its state along,
and pieces follow one another as on a record: a model that saw no beginning would not know what comes after an end.

The first lanes play recordings, every recording once in an epoch; their rows come with sound. The others play notes
alone, of recordings and of MIDI files, each time in another key, tempo and loudness.

    lane 0   |----- recording c -----|-------- recording a --------|--- ...       waveform, notes
    lane 1   -- recording b --|------------- recording d -------------|-- ...
    lane 2   |--- notes of b, +2 semitones, 4 % faster ---|--- ...                notes
    step         0       |       1       |       2       |       3       |
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.codecs import Codec
from pipeline.codecs.events import Event, EventBatch, encode
from pipeline.codecs.note_table import NoteExcerpt, NoteTable
from pipeline.models import Blocks
from pipeline.training.pieces import Piece, Span
from waveforms.notes.events import Notes

T = TypeVar("T")

SEMITONES = 6  # by which notes are transposed at most
TEMPO, LOUDNESS = 0.08, 6.0  # deviations of the log of the tempo, and of velocities


class Batch(NamedTuple):
    """One step of all lanes, or of one process's part of them.

    Attributes:
        waveforms: of the rows that have sound, the first ones, each (n_blocks * block_size + sum(padding),).
        notes: of these rows; None where the codec reads none.
        profiles: of the recordings that their blocks are from, (n_sound, n_blocks, 2 * N_CURVES).
        events: of all rows; None where the codec reads no notes.
    """

    waveforms: list[Tensor]
    notes: NoteTable | None
    profiles: Tensor | None
    events: EventBatch | None


class Lane:
    """One row: pieces without end.

    Args:
        pieces: to choose from.
        number: of this lane, among `n_lanes` of its kind.
        n_lanes: that together play every piece once before any is played again.
        varied: whether pieces come in other keys, tempos and loudnesses.
        seed: of the order, of variations and of where the first piece is entered.
    """

    def __init__(self, pieces: Sequence[Piece], number: int, n_lanes: int, *, varied: bool, seed: int) -> None:
        self._pieces, self._number, self._n_lanes, self._varied, self._seed = pieces, number, n_lanes, varied, seed
        self._n_played = 0
        self._piece = self._next()
        rng = np.random.default_rng([seed, number, int(varied)])
        self._at = int(rng.integers(self._piece.n_blocks))

    def take(self, n_blocks: int) -> list[Span]:
        """The next blocks."""
        spans, n_taken = [], 0
        while n_taken < n_blocks:
            n = min(n_blocks - n_taken, self._piece.n_blocks - self._at)
            spans.append(Span(self._piece, self._at, n, n_taken))
            n_taken, self._at = n_taken + n, self._at + n
            if self._at == self._piece.n_blocks:
                self._piece, self._at = self._next(), 0
        return spans

    def _next(self) -> Piece:
        epoch, place = divmod(self._number + self._n_played * self._n_lanes, len(self._pieces))
        self._n_played += 1
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._pieces))
        piece: Piece = self._pieces[order[place]]
        if not self._varied:
            return piece
        return varied(piece, np.random.default_rng([self._seed, self._number, self._n_played]))


def varied(piece: Piece, rng: np.random.Generator) -> Piece:
    """The notes of a piece as they might be played, too: transposed, faster or slower, louder or softer."""
    assert piece.notes is not None
    semitones, tempo = int(rng.integers(-SEMITONES, SEMITONES + 1)), float(np.exp(TEMPO * rng.normal()))
    notes = piece.notes.moved(semitones=semitones)
    velocities = np.clip(notes.velocities + LOUDNESS * rng.normal(), 1, 127)
    return replace(
        piece, notes=Notes(notes.onsets * tempo, notes.offsets * tempo, notes.pitches, velocities), recording=None
    )


def batches(
    recordings: Sequence[Piece],
    music: Sequence[Piece],
    n_sound: int,
    n_notes: int,
    n_blocks: int,
    codec: Codec,
    *,
    seed: int,
    first_step: int = 0,
    rank: int = 0,
    n_ranks: int = 1,
) -> Iterator[Batch]:
    """Steps of all lanes without end, or one process's part of each.

    What comes depends on `seed` and the step alone, so a run goes on where it stopped as if it never had; and the parts
    of all processes are together the batch that one alone would have.

    Args:
        recordings: of the lanes that have sound.
        music: of the lanes of notes alone; not looked at if there are none.
        n_sound: lanes that have sound, over all processes.
        n_notes: lanes of notes alone.
        n_blocks: of each row.
        codec: that encodes them.
        seed: of the order and of variations.
        first_step: to begin with.
        rank: of this process.
        n_ranks: how many share the lanes.
    """
    lanes = [Lane(recordings, n, n_sound, varied=False, seed=seed) for n in range(rank, n_sound, n_ranks)]
    lanes += [Lane(music, n, n_notes, varied=True, seed=seed) for n in range(rank, n_notes, n_ranks)]
    for _ in range(first_step):
        for lane in lanes:
            lane.take(n_blocks)
    while True:
        yield read_batch([lane.take(n_blocks) for lane in lanes], codec)


def read_batch(rows: Sequence[Sequence[Span]], codec: Codec) -> Batch:
    """The sound and the notes of some rows."""
    with_sound = [row for row in rows if row[0].piece.recording is not None]
    waveforms = [_waveform(row, codec) for row in with_sound]
    if rows[0][0].piece.notes is None:
        return Batch(waveforms, None, None, None)
    excerpts = [
        NoteExcerpt(
            span.piece.notes,
            row,
            (span.at - span.first) * codec.block_seconds,
            (span.at + span.n_blocks) * codec.block_seconds,
        )
        for row, spans in enumerate(with_sound)
        for span in spans
        if span.piece.notes is not None
    ]
    profiles = [
        torch.cat([s.piece.profile.expand(s.n_blocks, -1) for s in spans if s.piece.profile is not None])
        for spans in with_sound
    ]
    return Batch(
        waveforms,
        NoteTable.of(excerpts),
        torch.stack(profiles) if profiles else None,
        EventBatch.of([_events(row) for row in rows]),
    )


@torch.no_grad()
def encode_batch(batch: Batch, codec: Codec, device: torch.device) -> Blocks:
    """A batch as a model reads it."""
    waveforms = torch.stack(batch.waveforms).to(device)
    notes = batch.notes.to(device) if batch.notes is not None else None
    profiles = batch.profiles.to(device) if batch.profiles is not None else None
    events = batch.events.to(device) if batch.events is not None else None
    return Blocks(codec.encode(waveforms, notes, profiles), events)


def encode_rows(rows: Sequence[Sequence[Span]], codec: Codec, device: torch.device) -> Blocks:
    """Rows of equal length as a model reads them."""
    return encode_batch(read_batch(rows, codec), codec, device)


def _events(row: Sequence[Span]) -> tuple[list[Event], NDArray[np.float32]]:
    blocks: list[Event] = []
    sounding = []
    for span in row:
        of_piece, still = _encoded(span.piece)
        part = slice(span.first, span.first + span.n_blocks)
        blocks += of_piece[part]
        sounding.append(still[part])
    return blocks, np.concatenate(sounding)


@lru_cache(maxsize=256)
def _encoded(piece: Piece) -> tuple[list[Event], NDArray[np.float32]]:
    """Lanes come back to a piece step after step."""
    assert piece.notes is not None
    return encode(piece.notes, 0, piece.n_blocks)


def _waveform(row: Sequence[Span], codec: Codec) -> Tensor:
    """By numpy alone: this runs in a thread of its own, and a thread that asks torch for a large copy gets helpers of
    its own, too. OpenMP, seeing more threads than cores, then lets those that compute sleep between any two operations.
    """
    before, after = codec.padding
    waveforms = []
    for span in row:
        assert span.piece.recording is not None
        edges = (before if span is row[0] else 0, after if span is row[-1] else 0)
        first, beyond = (n * codec.block_size for n in (span.first, span.first + span.n_blocks))
        waveforms.append(span.piece.recording.read(first - edges[0], beyond + edges[1]))
    return torch.from_numpy(np.concatenate(waveforms))


def prefetch(items: Iterator[T]) -> Iterator[T]:
    """The same items, each fetched by one worker thread while the one before it is used."""
    with ThreadPoolExecutor(1) as worker:
        pending = worker.submit(next, items, None)
        while (item := pending.result()) is not None:
            pending = worker.submit(next, items, None)
            yield item
