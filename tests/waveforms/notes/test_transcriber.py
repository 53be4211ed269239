"""The transcriber against the sampled piano, of which every note is known."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.conftest import noise
from tests.waveforms.notes.music import f1, little_piece, sound_of
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.notes import Notes, Performance
from waveforms.notes.events import match
from waveforms.notes.transcriber import transcribe, transcribe_stream


def performance(semitones: int = 0) -> Performance:
    return Notes.of_performance(little_piece()).moved(semitones=semitones).to_performance("piece")


def sound(semitones: int = 0) -> Waveform:
    return sound_of(performance(semitones))


@cache
def transcribed(semitones: int = 0) -> Notes:
    return transcribe(sound(semitones))


def test_played_notes_are_transcribed() -> None:
    played = Notes.of_performance(performance())
    assert f1(played, transcribed()) > 0.85
    mine, its = match(played, transcribed()).T
    assert np.median(np.abs(transcribed().onsets[its] - played.onsets[mine])) < 0.010
    assert np.corrcoef(transcribed().velocities[its], played.velocities[mine])[0, 1] > 0.7


def test_offsets_follow_the_dampers_and_the_pedal() -> None:
    with_pedal, without = (replace(little_piece(), pedal=pedal) for pedal in (little_piece().pedal, ()))
    lengths = []
    for played in (with_pedal, without):
        notes, found = Notes.of_performance(played), transcribe(sound_of(played))
        mine, its = match(notes, found).T
        lengths.append(np.mean(found.offsets[its] - found.onsets[its]))
        if played is without:
            assert np.median(np.abs(found.offsets[its] - notes.offsets[mine])) < 0.10
    assert lengths[0] > 1.5 * lengths[1]


def test_transposed_music_is_transcribed_higher() -> None:
    assert f1(Notes.of_performance(performance(5)), transcribed(5)) > 0.85
    assert f1(transcribed().moved(semitones=5), transcribed(5)) > 0.85


def test_it_does_not_matter_how_loud_a_file_is() -> None:
    softer = transcribe(sound() * np.float32(0.01))
    assert f1(transcribed(), softer) > 0.99
    mine, its = match(transcribed(), softer).T
    np.testing.assert_allclose(softer.velocities[its], transcribed().velocities[mine], atol=1.0)


@pytest.mark.parametrize("n_piece", [1, 1000, 44_100, 10**6])
def test_the_size_of_pieces_does_not_matter(n_piece: int) -> None:
    waveform = sound()[: 3000 * n_piece]
    pieces = [waveform[first : first + n_piece] for first in range(0, len(waveform), n_piece)]
    whole, streamed = transcribe_stream([waveform], -23.0), transcribe_stream(pieces, -23.0)
    for name in ("onsets", "offsets", "pitches", "velocities"):
        np.testing.assert_array_equal(getattr(streamed, name), getattr(whole, name))


def test_a_long_recording_is_transcribed_like_its_parts() -> None:
    """A hidden state that is carried on for minutes does no harm."""
    notes = Notes.of_performance(performance())
    n_part = len(sound())
    long = transcribe(np.tile(sound(), 8))
    last = long.between(7 * n_part / SAMPLE_RATE, 8 * n_part / SAMPLE_RATE).moved(seconds=-7 * n_part / SAMPLE_RATE)
    assert f1(notes, last) > 0.85


def test_silence_holds_no_notes() -> None:
    assert len(transcribe(np.zeros(5 * SAMPLE_RATE, np.float32))) == 0
    assert len(transcribe(np.zeros(0, np.float32))) == 0


def test_noise_holds_hardly_any() -> None:
    assert len(transcribe(noise(10 * SAMPLE_RATE)[:, 0])) <= 15


def test_a_note_at_the_very_beginning_and_a_short_file() -> None:
    waveform = sound()[round(0.29 * SAMPLE_RATE) :][:SAMPLE_RATE]
    found = transcribe(waveform)
    assert found.onsets.min() < 0.05
    assert found.offsets.max() < 1.2
