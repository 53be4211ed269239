"""Pieces, and the spans of them that are fitted on, validated on and read."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.codecs import Codec, make_codec
from pipeline.config import PianoSettings, SpectrumSettings
from pipeline.training.pieces import (
    HELD_OUT_SEQUENCES,
    MOST_EXCERPTS,
    Piece,
    examples,
    fitted_to,
    held_out_rows,
    pieces_of,
    read_blocks,
    thinned,
)
from tests.conftest import noise
from tests.pipeline.conftest import LENGTHS, melody, melody_notes, n_blocks_of
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus
from waveforms.corpus.notes import FoundNotes
from waveforms.corpus.recording import Recording
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.errors import AudioError
from waveforms.notes.events import Notes

CLASSIC = make_codec(SpectrumSettings())


def silent(corpus: Corpus) -> list[Piece]:
    return [Piece(recording.name, BLOCK_SIZE, None, recording) for recording in corpus]


@pytest.mark.usefixtures("known_notes")
def test_pieces_are_recordings_with_their_notes_and_profiles(corpus: Corpus) -> None:
    codec = make_codec(PianoSettings())
    codec.instrument.table.fill_(-4.0)  # type: ignore[union-attr]
    seconds: list[tuple[float, float]] = []
    pieces = fitted_to(pieces_of(corpus, codec, lambda *at: seconds.append(at)), codec)
    assert [piece.name for piece in pieces] == [recording.name for recording in corpus]
    assert seconds[-1] == pytest.approx((sum(LENGTHS), sum(LENGTHS)), abs=1e-3)
    assert [done for done, _ in seconds] == pytest.approx(np.cumsum(LENGTHS), abs=1e-3)
    for n, piece in enumerate(pieces):
        assert piece.n_blocks == -(-round(LENGTHS[n] * SAMPLE_RATE) // BLOCK_SIZE)
        assert piece.notes is not None
        assert piece.profile is not None
        np.testing.assert_array_equal(piece.notes.table, melody_notes(n, LENGTHS[n]).table)
    assert not torch.equal(pieces[0].profile, pieces[1].profile)  # type: ignore[arg-type]


def test_a_midi_file_that_was_left_aside_is_reported(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = corpus
    problem = AudioError(Path("take.mid"), "does not fit the recording")

    def found(recording: Recording) -> FoundNotes:
        return FoundNotes(melody_notes(0, 1.0), problem=problem if recording is first else None)

    monkeypatch.setattr("pipeline.training.pieces.notes_of", found)
    messages: list[str] = []
    pieces = pieces_of(corpus, make_codec(PianoSettings()), report=messages.append)
    assert messages == [f"left aside: take.mid: does not fit the recording; the notes of {first.name} are transcribed"]
    assert all(piece.transcribed for piece in pieces)


def test_pieces_of_a_codec_that_reads_no_notes_have_none(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(_: object) -> None:
        raise AssertionError("nobody is to listen")

    monkeypatch.setattr("pipeline.training.pieces.notes_of", never)
    pieces = pieces_of(corpus, make_codec(SpectrumSettings()))
    assert [(piece.notes, piece.profile) for piece in pieces] == [(None, None)] * len(corpus)


def test_a_profile_is_of_the_middle_of_a_long_recording(
    record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 30 s the middle 20; with the notes that are there, at its own time."""
    path = record("long.wav", noise(30 * SAMPLE_RATE))
    given: list[tuple[torch.Tensor, Notes | None]] = []

    class Listening:
        reads_notes, padding, block_size, block_seconds = True, (3, 5), BLOCK_SIZE, 0.25

        def profile(self, waveform: torch.Tensor, notes: Notes | None) -> torch.Tensor:
            given.append((waveform, notes))
            return torch.zeros(16)

    corpus = Corpus.open(path.parent)
    monkeypatch.setattr(
        "pipeline.training.pieces.notes_of", lambda _: FoundNotes(melody_notes(0, 30.0), Path("long.mid"))
    )
    codec: Codec = Listening()  # type: ignore[assignment]
    fitted_to(pieces_of(corpus, codec), codec)
    ((waveform, notes),) = given
    start = 5 * SAMPLE_RATE
    np.testing.assert_array_equal(waveform, corpus[0].read(start - 3, start + 20 * SAMPLE_RATE + 5))
    assert notes is not None
    np.testing.assert_allclose(notes.onsets, melody_notes(0, 30.0).onsets - 5)


def test_transcribed_notes_are_refined_part_by_part(
    record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part is refined in its own time, and what comes back is in the recording's; notes of a MIDI file stay."""
    monkeypatch.setattr("pipeline.training.pieces.SWEEP_BLOCKS", 8)
    corpus = Corpus.open(record("a.wav", melody(0, 5.0)).parent)
    notes = melody_notes(0, 5.0)

    class Refining:
        reads_notes, padding, block_size, block_seconds = True, (3, 5), BLOCK_SIZE, 0.25

        def profile(self, waveform: torch.Tensor, notes: Notes | None) -> torch.Tensor:
            return torch.zeros(16)

        def refine(self, waveform: torch.Tensor, notes: Notes, profile: torch.Tensor) -> Notes:
            return Notes(notes.onsets, notes.offsets, notes.pitches, notes.velocities + 5)

    codec: Codec = Refining()  # type: ignore[assignment]
    for transcribed, louder in ((True, 5), (False, 0)):
        (piece,) = fitted_to([Piece("a.wav", BLOCK_SIZE, notes, corpus[0], transcribed=transcribed)], codec)
        assert piece.notes is not None
        np.testing.assert_allclose(piece.notes.table, notes.table + np.array([0, 0, 0, louder]))


def test_examples_pass_every_block_once(corpus: Corpus) -> None:
    waveforms = [each.waveform for each in examples(silent(corpus), CLASSIC)]
    assert sum(map(len, waveforms)) == sum(n_blocks_of(r.n_samples) for r in corpus) * BLOCK_SIZE
    whole = np.concatenate([r.read(0, n_blocks_of(r.n_samples) * BLOCK_SIZE) for r in corpus])
    np.testing.assert_array_equal(np.concatenate(waveforms), whole)


def test_long_recordings_come_in_examples_with_their_notes(
    record: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.training.pieces.SWEEP_BLOCKS", 8)
    corpus = Corpus.open(record("a.wav", melody(0, 5.0)).parent)
    notes = melody_notes(0, 5.0)
    found = list(examples([Piece("a.wav", BLOCK_SIZE, notes, corpus[0])], make_codec(SpectrumSettings(overlap=21))))
    assert [len(each.waveform) - 21 for each in found] == [8 * BLOCK_SIZE, 8 * BLOCK_SIZE, 4 * BLOCK_SIZE]
    for n, each in enumerate(found):
        start = 8 * n * BLOCK_SIZE
        np.testing.assert_array_equal(each.waveform, corpus[0].read(start - 10, start + len(each.waveform) - 10))
        assert each.notes is not None
        np.testing.assert_allclose(each.notes.onsets, notes.onsets - 2.0 * n)
        assert each.recording == 0


def test_of_a_large_corpus_examples_are_spread_evenly(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.training.pieces.SWEEP_BLOCKS", 1)
    many = silent(corpus) * 3
    found = list(examples(many, CLASSIC))
    n_all = 3 * sum(n_blocks_of(r.n_samples) for r in corpus)
    assert n_all > MOST_EXCERPTS
    assert len(found) == MOST_EXCERPTS
    assert {each.recording for each in found} == set(range(len(many)))


def test_padding_outside_a_recording_is_silent(corpus: Corpus) -> None:
    example = read_blocks(corpus[0], 0, 1, make_codec(SpectrumSettings(overlap=100)))
    assert not example[:50].any()
    assert example[50:].any()


@given(length=st.integers(1, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_held_out_block_is_in_one_row(corpus: Corpus, length: int) -> None:
    rows = held_out_rows(silent(corpus), length, 10_000)
    blocks = Counter((s.piece.name, s.first + n) for row in rows for s in row for n in range(s.n_blocks))
    assert blocks == Counter((r.name, n) for r in corpus for n in range(n_blocks_of(r.n_samples)))
    lengths = [sum(stretch.n_blocks for stretch in row) for row in rows]
    assert set(lengths[:-1]) <= {HELD_OUT_SEQUENCES * length}
    assert 0 < lengths[-1] <= HELD_OUT_SEQUENCES * length
    for row in rows:
        assert [s.at for s in row] == [0, *np.cumsum([s.n_blocks for s in row])[:-1]]


def test_of_many_rows_some_are_looked_at(corpus: Corpus) -> None:
    rows = held_out_rows(silent(corpus), 2, 12)
    assert len(rows) == 12 // HELD_OUT_SEQUENCES
    assert len(held_out_rows(silent(corpus), 2, 1)) == 1


def test_thinning_spreads_evenly() -> None:
    assert thinned(list(range(10)), 10) == list(range(10))
    assert thinned(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert thinned(list(range(10)), 3) == [0, 3, 6]
