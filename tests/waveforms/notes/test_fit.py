"""Files that fit a recording and files that do not: on sampled piano, of which every note is known."""

from functools import cache

import numpy as np
import pytest
import torch

from tests.waveforms.notes.music import little_piece, sound_of
from waveforms import SAMPLE_RATE
from waveforms.dsp.bands import to_bands
from waveforms.dsp.blocks import HOP
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.notes import Note, Notes, Performance
from waveforms.notes.fit import DoesNotFitError, Excerpt, find_offset

SECONDS = 24.0
PERFORMANCE = little_piece(0, SECONDS)
PIECE = Notes.of_performance(PERFORMANCE)


@cache
def excerpts(performance: Performance = PERFORMANCE, noise: float = 0.0) -> list[Excerpt]:
    """Render a piece on the sampled piano, and analyse three excerpts of it."""
    waveform = sound_of(performance)
    waveform = waveform + noise * np.random.default_rng(0).standard_normal(len(waveform)).astype(np.float32)
    found = []
    for start in (0.0, 8.0, 16.0):
        first = round(start * SAMPLE_RATE)
        samples = torch.from_numpy(waveform[first:][: 7 * SAMPLE_RATE // HOP * HOP])
        frames = to_frames(torch.nn.functional.pad(samples, FRAME_PADDING))
        found.append((start, to_bands(frames.real.square() + frames.imag.square()).numpy()))
    return found


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_a_file_that_fits_is_in_time(noise: float) -> None:
    assert find_offset(PIECE, excerpts(noise=noise), SECONDS) == pytest.approx(0, abs=0.011)


@pytest.mark.parametrize("late", [-0.9, -0.07, 0.7])
def test_a_file_that_is_early_or_late(late: float) -> None:
    assert find_offset(PIECE.moved(seconds=-late), excerpts(), SECONDS + 1) == pytest.approx(late, abs=0.011)


def test_a_file_that_lacks_half_of_the_notes_still_fits() -> None:
    half = Notes.of_table(PIECE.table[::2])
    assert find_offset(half, excerpts(), SECONDS) == pytest.approx(0, abs=0.011)


def chorale(root: int = 48) -> Performance:
    """Chords of four voices whose tones share partials, as in a chorale."""
    degrees = [(0, 4, 7, 12), (5, 9, 12, 17), (7, 11, 14, 19), (0, 7, 12, 16), (2, 9, 14, 17), (7, 14, 17, 23)]
    notes = [
        Note(0.3 + 0.7 * n, 0.65, root + tone, 60 + 4 * voice)
        for n in range(30)
        for voice, tone in enumerate(degrees[n * 5 % 6])
    ]
    return Performance("chorale", tuple(sorted(notes)))


def test_chords_fit_though_their_tones_share_partials() -> None:
    notes = Notes.of_performance(chorale())
    assert find_offset(notes, excerpts(chorale()), SECONDS) == pytest.approx(0, abs=0.011)
    for semitones in (1, -1, 3, 5, 7, -7, 12, -12):
        with pytest.raises(DoesNotFitError):
            find_offset(notes.moved(semitones=semitones), excerpts(chorale()), SECONDS)


RISES = r"the sound rises by \d+\.\d dB where its notes begin, and by \d+\.\d dB at other"


@pytest.mark.parametrize("seed", [1, 2, 3, 5])
def test_other_notes_in_the_same_rhythm_do_not_fit(seed: int) -> None:
    with pytest.raises(DoesNotFitError, match=rf"{RISES} keys$"):
        find_offset(Notes.of_performance(little_piece(seed, SECONDS)), excerpts(), SECONDS)


def test_a_file_at_another_tempo_does_not_fit() -> None:
    with pytest.raises(DoesNotFitError, match=rf"{RISES} times$"):
        find_offset(Notes.of_performance(little_piece(0, SECONDS, tempo=1.03)), excerpts(), SECONDS)


@pytest.mark.parametrize("semitones", [1, -2, 12, -12])
def test_a_transposed_file_does_not_fit(semitones: int) -> None:
    with pytest.raises(DoesNotFitError, match=rf"^{RISES} keys$"):
        find_offset(PIECE.moved(semitones=semitones), excerpts(), SECONDS)


def test_half_the_tempo_does_not_fit() -> None:
    with pytest.raises(DoesNotFitError, match=r"its last note begins at 4\d\.\d s, and the recording lasts 24\.0 s"):
        find_offset(Notes.of_performance(little_piece(0, SECONDS, tempo=0.5)), excerpts(), SECONDS)


def test_a_file_that_leaves_the_recording_at_its_end() -> None:
    rest = Notes.of_performance(little_piece(3, SECONDS)).between(16.0, SECONDS)
    with pytest.raises(DoesNotFitError, match=rf"^from 16 to 23 s {RISES} keys$"):
        find_offset(PIECE.between(0.0, 16.0).joined(rest), excerpts(), SECONDS)
