"""Lanes of pieces that follow one another: what comes, in which order, and where it is in the row."""

from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise

import numpy as np
import pytest
import torch

from pipeline.codecs import make_codec
from pipeline.codecs.events import BLOCK_SECONDS, encode
from pipeline.codecs.note_table import NoteExcerpt, NoteTable
from pipeline.config import PianoSettings, SpectrumSettings
from pipeline.training.lanes import SEMITONES, Batch, Lane, batches, encode_rows, prefetch, read_batch, varied
from pipeline.training.pieces import Piece, Span
from tests.pipeline.conftest import LENGTHS, melody_notes
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes

N_BLOCKS = 7
CLASSIC = make_codec(SpectrumSettings())
OVERLAPPING = make_codec(SpectrumSettings(overlap=201))  # padding of 100 and 101 samples


@pytest.fixture
def pieces(corpus: Corpus) -> list[Piece]:
    """The melodies, each with its number for a profile."""
    return [
        Piece(recording.name, BLOCK_SIZE, melody_notes(n, LENGTHS[n]), recording, torch.full((16,), float(n)))
        for n, recording in enumerate(corpus)
    ]


def steps(pieces: list[Piece], n_steps: int, n_sound: int = 4, n_notes: int = 2, **options: int) -> list[Batch]:
    options = {"seed": 3} | options
    return list(islice(batches(pieces, pieces, n_sound, n_notes, N_BLOCKS, OVERLAPPING, **options), n_steps))  # type: ignore[arg-type]


def same(one: Batch, other: Batch) -> None:
    assert len(one.waveforms) == len(other.waveforms)
    assert all(map(torch.equal, one.waveforms, other.waveforms))
    assert one.events is not None
    assert other.events is not None
    assert all(map(torch.equal, one.events, other.events))


@pytest.mark.parametrize("n_lanes", [1, 3, 4, 7])
def test_lanes_together_play_every_piece_once_before_any_again(pieces: list[Piece], n_lanes: int) -> None:
    played = []
    for number in range(n_lanes):
        lane, order = Lane(pieces, number, n_lanes, varied=False, seed=1), []
        for span in lane.take(400):
            if not order or span.first == 0:
                order.append(span.piece.name)
        played.append(order)
    n_each = min(map(len, played))
    sequence = [order[n] for n in range(n_each) for order in played]
    assert len(sequence) >= 3 * len(pieces)
    orders = set()
    for at in range(0, len(sequence) - len(pieces), len(pieces)):
        orders.add(tuple(sequence[at : at + len(pieces)]))
        assert Counter(sequence[at : at + len(pieces)]) == Counter(piece.name for piece in pieces)
    assert len(orders) > 1


@pytest.mark.parametrize("sizes", [[1] * 60, [7] * 9, [40, 23]])
def test_a_lane_goes_on_where_it_stopped_and_pieces_are_whole(pieces: list[Piece], sizes: list[int]) -> None:
    lane = Lane(pieces, 0, 1, varied=False, seed=1)
    played: list[tuple[str, int]] = []
    for n_blocks in sizes:
        at = 0
        for span in lane.take(n_blocks):
            assert span.at == at
            played += [(span.piece.name, span.first + n) for n in range(span.n_blocks)]
            at += span.n_blocks
        assert at == n_blocks
    (whole,) = [Lane(pieces, 0, 1, varied=False, seed=1).take(sum(sizes))]
    assert played == [(span.piece.name, span.first + n) for span in whole for n in range(span.n_blocks)]
    lengths = {piece.name: piece.n_blocks for piece in pieces}
    for (name, block), following in pairwise(played):
        assert following == (name, block + 1) if block + 1 < lengths[name] else following[1] == 0


def test_what_comes_depends_on_seed_and_step_alone(pieces: list[Piece]) -> None:
    whole = steps(pieces, 6)
    for first in (1, 4):
        for one, other in zip(whole[first:], steps(pieces, 6 - first, first_step=first), strict=True):
            same(one, other)
    assert not torch.equal(whole[0].waveforms[0], steps(pieces, 1, seed=4)[0].waveforms[0])


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_parts_of_all_processes_are_the_batch_of_one(pieces: list[Piece], n_ranks: int) -> None:
    n_notes = 4
    ranks = [steps(pieces, 3, n_notes=n_notes, rank=rank, n_ranks=n_ranks) for rank in range(n_ranks)]
    for whole, *parts in zip(steps(pieces, 3, n_notes=n_notes), *ranks, strict=True):
        waveforms = {row.numpy().tobytes() for part in parts for row in part.waveforms}
        assert waveforms == {row.numpy().tobytes() for row in whole.waveforms}
        assert {len(part.waveforms) for part in parts} == {4 // n_ranks}
        assert whole.events is not None
        rows = Counter(row.numpy().tobytes() for row in whole.events.sounding)
        of_parts = [row for part in parts if part.events is not None for row in part.events.sounding]
        assert Counter(row.numpy().tobytes() for row in of_parts) == rows
        assert sum(part.events.n_notes for part in parts if part.events is not None) == whole.events.n_notes


def row_of(pieces: list[Piece]) -> list[Span]:
    """The end of a melody, all of a short one, and the beginning of a third."""
    return [Span(pieces[0], 9, 3, 0), Span(pieces[2], 0, 3, 3), Span(pieces[3], 0, 4, 6)]


def test_a_row_holds_the_recordings_samples_and_their_notes(pieces: list[Piece], corpus: Corpus) -> None:
    batch = read_batch([row_of(pieces)], OVERLAPPING)
    (waveform,) = batch.waveforms
    first = corpus[0].read(9 * BLOCK_SIZE - 100, 12 * BLOCK_SIZE)
    last = corpus[3].read(0, 4 * BLOCK_SIZE + 101)
    np.testing.assert_array_equal(waveform, np.concatenate([first, corpus[2].read(0, 3 * BLOCK_SIZE), last]))
    assert batch.profiles is not None
    assert batch.profiles[0, :, 0].tolist() == [0.0] * 3 + [2.0] * 3 + [3.0] * 4

    assert batch.events is not None
    parts = [encode(melody_notes(n, LENGTHS[n]), f, blocks) for n, f, blocks in ((0, 9, 3), (2, 0, 3), (3, 0, 4))]
    np.testing.assert_array_equal(batch.events.sounding[0], np.concatenate([sounding for _, sounding in parts]))
    events = np.concatenate([block for blocks, _ in parts for block in blocks])
    np.testing.assert_array_equal(batch.events.events[0], events)


def test_the_notes_of_a_row_sound_in_their_places_alone(pieces: list[Piece]) -> None:
    """By an instrument that was asked for each span by itself; to rounding."""
    codec = make_codec(PianoSettings(dims=4, expected_dims=4))
    codec.instrument.table.fill_(-2.0)  # type: ignore[union-attr]
    row = row_of(pieces)
    zeros = [Piece(p.name, BLOCK_SIZE, p.notes, p.recording, torch.zeros(16)) for p in pieces]
    row = [span._replace(piece=zeros[int(span.piece.profile[0])]) for span in row]  # type: ignore[index]
    together = encode_rows([row], codec, torch.device("cpu")).latents.expected
    alone = []
    for span in row:
        assert span.piece.notes is not None
        excerpt = NoteExcerpt(span.piece.notes.moved(seconds=-span.first * BLOCK_SECONDS))
        alone.append(codec.instrument(NoteTable.of([excerpt]), torch.zeros(1, span.n_blocks, 16)))  # type: ignore[operator]
    assert together is not None
    torch.testing.assert_close(together, torch.cat(alone, dim=1), atol=1e-4, rtol=0)
    assert together.std() > 0.1


def test_rows_with_sound_come_as_they_are_and_rows_of_notes_are_varied(pieces: list[Piece]) -> None:
    played = {block.tobytes() for piece in pieces for block in encode(piece.notes, 0, piece.n_blocks)[0]}  # type: ignore[arg-type]
    n_as_it_is = n_varied = 0
    for batch in steps(pieces, 4):
        assert len(batch.waveforms) == 4
        assert batch.events is not None
        assert len(batch.events.ends) == 6
        for row in range(6):
            blocks = [batch.events.events[row][batch.events.block[row] == n].numpy() for n in range(N_BLOCKS)]
            known = [block.tobytes() in played for block in blocks if len(block) > 1]
            n_as_it_is += row < 4
            n_varied += row >= 4 and not all(known)
            assert row >= 4 or all(known)
    assert (n_as_it_is, n_varied) == (16, 8)


def test_variations_are_of_key_tempo_and_loudness() -> None:
    """What they are of is found from the notes: one interval, one tempo, one step of loudness for all of them."""
    notes = Notes.of((0.3 * n, 0.3 * n + 0.2, 50 + n % 12, 50.0 + n) for n in range(20))
    intervals, tempos, steps = [], [], []
    for seed in range(300):
        other = varied(Piece("a", BLOCK_SIZE, notes), np.random.default_rng(seed)).notes
        assert other is not None
        assert other.pitches.tolist() == (notes.pitches + (other.pitches[0] - 50)).tolist()
        tempo = other.offsets[0] / 0.2
        np.testing.assert_allclose(other.onsets, tempo * notes.onsets)
        np.testing.assert_allclose(other.offsets, tempo * notes.offsets)
        np.testing.assert_allclose(np.diff(other.velocities), 1)
        intervals.append(int(other.pitches[0] - 50))
        tempos.append(np.log(tempo))
        steps.append(other.velocities[0] - 50)
    assert set(intervals) == set(range(-SEMITONES, SEMITONES + 1))
    assert np.std(tempos) == pytest.approx(0.08, rel=0.15)
    assert np.std(steps) == pytest.approx(6, rel=0.15)


def test_notes_that_leave_the_keyboard_are_left_out_and_velocities_stay_legal() -> None:
    notes = Notes.of([(0.0, 1.0, 21, 1.0), (0.5, 1.0, 60, 64.0), (1.0, 2.0, 108, 127.0)])
    for seed in range(40):
        other = varied(Piece("a", BLOCK_SIZE, notes), np.random.default_rng(seed)).notes
        assert other is not None
        assert len(other) in (2, 3)
        assert other.pitches.min() >= 21
        assert other.pitches.max() <= 108
        assert 1 <= other.velocities.min() <= other.velocities.max() <= 127


def test_a_codec_that_reads_no_notes_gets_none(corpus: Corpus) -> None:
    silent = [Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus]
    batch = next(batches(silent, silent, 3, 0, N_BLOCKS, CLASSIC, seed=0))
    assert (batch.notes, batch.profiles, batch.events) == (None, None, None)
    row = Lane(silent, 0, 3, varied=False, seed=0).take(N_BLOCKS)
    blocks = encode_rows([row], CLASSIC, torch.device("cpu"))
    assert blocks.n_rows == 1
    spectrum = np.fft.rfft(batch.waveforms[0][:BLOCK_SIZE].double().numpy(), norm="ortho")
    np.testing.assert_allclose(blocks.latents.latent[0, 0, 0, :5513], spectrum.real, atol=1e-5)


def test_blocks_of_a_row_last_as_long_as_their_notes_say() -> None:
    """A piece of notes alone goes on for a second after its last damper has fallen."""
    piece = Piece("a", BLOCK_SIZE, Notes.of([(0.0, 3.1, 60, 64.0)]))
    assert 3.1 + 0.75 <= piece.n_blocks * BLOCK_SECONDS <= 3.1 + 1.25


def test_prefetching_changes_nothing_and_passes_faults_on() -> None:
    assert list(prefetch(iter(range(1, 6)))) == [1, 2, 3, 4, 5]

    def broken() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    fetched = prefetch(broken())
    assert next(fetched) == 1
    with pytest.raises(OSError, match="gone"):
        next(fetched)
