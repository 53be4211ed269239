"""The expected sound of notes against a sum written out note by note, and what is fitted against what was planted."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.codecs.instrument import N_CURVES, Instrument
from pipeline.codecs.note_table import AGES, N_AGES, NoteExcerpt, NoteTable
from tests.pipeline.codecs.strings import SUSTAINED, instrument, planted
from waveforms.dsp.bands import CENTRES, N_BANDS, expand
from waveforms.notes.events import Notes

AVERAGE = torch.zeros(1, 1, 2 * N_CURVES)  # a profile
DECIBELS = 10 / math.log(10)  # of a neper of power


def table_of(*rows: list[tuple[float, float, int, float]]) -> NoteTable:
    return NoteTable.of([NoteExcerpt(Notes.of(notes), row) for row, notes in enumerate(rows)])


def power(made: Instrument, *rows: list[tuple[float, float, int, float]], n_blocks: int = 4) -> Tensor:
    """Of each frame and band, (n_rows, n_frames, N_BANDS)."""
    magnitudes = made(table_of(*rows), AVERAGE.expand(len(rows), n_blocks, -1))
    return (2 * expand(magnitudes)).exp().flatten(1, 2)


def decibels(made: Instrument, *notes: tuple[float, float, int, float], n_blocks: int = 4) -> np.ndarray:
    """In a band where nothing is special, (n_frames,)."""
    return 10 * np.log10(power(made, list(notes), n_blocks=n_blocks)[0, :, 100].numpy())


def random_instrument() -> Instrument:
    generator = torch.Generator().manual_seed(0)
    made = Instrument()
    for name, middle in {
        "table": -3.0,
        "touches": 0.0,
        "floor": -9.0,
        "gains": 0.0,
        "release": 1.0,
        "tail": -1.0,
    }.items():
        buffer = getattr(made, name)
        buffer.copy_(middle + torch.randn(buffer.shape, generator=generator))
    return made


def written_out(made: Instrument, notes: Notes, n_frames: int) -> np.ndarray:
    """The docstring's sum, note by note and frame by frame: (n_frames, N_BANDS)."""
    table = made.table.double().view(88, N_AGES, N_BANDS).exp().numpy()
    touches = made.touches.double().exp().numpy()
    total = np.tile(made.floor.double().exp().numpy(), (n_frames, 1))
    rates, tails = np.log1p(np.exp(made.release.double().numpy())), 1 / (1 + np.exp(-made.tail.double().numpy()))
    for n, (onset, offset, pitch, velocity) in enumerate(notes.table.tolist()):
        key = int(pitch) - 21
        again = [at for at, other in zip(notes.onsets[n + 1 :], notes.pitches[n + 1 :], strict=True) if other == pitch]
        for frame in range(n_frames):
            if frame // 25 < math.floor(onset * 4 + 1e-9):  # the block was over when the note began
                continue
            middle = (frame + 0.5) / 100
            age = 100 * (middle - onset)
            if age < AGES[0] or age >= AGES[-1]:
                continue
            sound = np.array([np.interp(age, AGES, table[key, :, band]) for band in range(N_BANDS)])
            sound *= (1 - velocity / 127) * touches[0] + velocity / 127 * touches[1]
            sound *= (velocity / 64) ** 2 * math.exp(np.interp(velocity / 16, range(9), made.gains.numpy()))
            ends = math.inf if pitch >= 90 else offset
            if again and again[0] <= ends:
                since = max(100 * (middle - again[0]), 0)
                sound *= math.exp(-2.3 * since) * (since < 6)
            elif middle > ends:
                since = 100 * (middle - ends)
                tail = tails[key] * math.exp(-math.log(2) * since / 25)  # softplus(0) is log(2)
                sound *= ((1 - tails[key]) * math.exp(-rates[key] * since / 10) + tail) * (since < 150)
            total[frame] += sound
    return total


def test_it_is_the_sum_that_is_written_above_it() -> None:
    """A thousandth of the power, in independent rows; notes from before, overlaps and high keys too."""
    made = random_instrument()
    rows = [
        [(-0.4, 0.2, 50, 90), (0.1, 0.3, 60, 30), (0.247, 0.6, 64, 64), (0.5, 1.9, 60, 127)],
        [(-3.0, 2.0, 40, 60), (0.2, 0.22, 95, 80), (0.3, 0.5, 95, 40), (0.35, 0.36, 21, 1), (0.7, 0.9, 108, 100)],
    ]
    found = power(made, *rows).double().numpy()
    for one, notes in zip(found, rows, strict=True):
        np.testing.assert_allclose(one, written_out(made, Notes.of(notes), 100), rtol=1e-3)


def test_powers_add() -> None:
    made = random_instrument()
    notes = [(0.1, 0.8, 50, 90.0), (0.2, 0.9, 57, 30.0), (0.3, 0.5, 61, 64.0)]
    apart = power(made, *([note] for note in notes), [])
    together = power(made, notes)
    torch.testing.assert_close(together[0], apart[:3].sum(0) - 2 * apart[3], rtol=1e-3, atol=1e-7)


def test_a_damped_note_decays_at_its_keys_rate() -> None:
    """Two keys, of 1 and of 0.1 nepers of power a tenth of a second."""
    made = instrument()
    rates = [1.0, 0.1]
    for key, rate in zip((20, 30), rates, strict=True):
        made.release[key] = math.log(math.expm1(rate))
    for pitch, rate in zip((41, 51), rates, strict=True):
        measured = decibels(made, (0.0, 0.3, pitch, 64.0))
        assert np.ptp(measured[:30]) < 0.01
        np.testing.assert_allclose(np.diff(measured[31:]), -rate / 10 * DECIBELS, atol=0.02)


def test_the_topmost_strings_have_no_damper() -> None:
    for pitch in (90, 108):
        assert np.ptp(decibels(instrument(), (0.0, 0.3, pitch, 64.0))) < 0.01
    assert np.ptp(decibels(instrument(), (0.0, 0.3, 89, 64.0))) > 20


def test_a_hammer_takes_sixty_decibels_off_its_own_string_in_sixty_milliseconds() -> None:
    """What is left of the old note, once the new one is taken away; three frames, of 10 ms each, are 30 dB."""
    made = instrument(floor=-40.0)
    old, new = (0.0, 2.0, 60, 64.0), (0.5, 2.0, 60, 1.0)
    measured = power(made, [old, new], [new], [])[:, :, 100].double()
    left = 10 * (measured[0] - measured[1] + measured[2]).log10().numpy()
    assert np.ptp(left[:50]) < 0.01
    assert left[50] - left[53] == pytest.approx(30, abs=0.2)
    assert measured[0, 60].item() == pytest.approx(measured[1, 60].item(), rel=1e-3)


@pytest.mark.parametrize(("velocity", "gain"), [(32, -6.02), (64, 0.0), (128, 6.02)])
def test_gain_is_the_square_of_velocity(velocity: float, gain: float) -> None:
    made = instrument()
    assert decibels(made, (0.0, 2.0, 60, velocity))[10] == pytest.approx(SUSTAINED * DECIBELS + gain, abs=0.02)


def test_a_block_knows_nothing_of_the_next_ones_notes() -> None:
    made = random_instrument()
    notes = [(0.1, 0.8, 50, 90.0), (0.2499, 0.9, 57, 30.0), (0.5, 0.9, 61, 64.0), (0.51, 0.9, 62, 64.0)]
    whole = power(made, notes)
    for block in range(1, 4):
        known = power(made, [note for note in notes if note[0] < 0.25 * block])
        assert torch.equal(known[:, : 25 * block], whole[:, : 25 * block])


def test_what_follows_on_a_recording_ends_it() -> None:
    """At half a second, in the middle of a note that would sound on."""
    made, ended = instrument(), NoteExcerpt(Notes.of([(0.0, 9.0, 95, 64.0)]), 0, 0.0, 0.5)
    following = NoteExcerpt(Notes.of([(0.1, 9.0, 40, 32.0)]), 0, 0.5)
    measured = (2 * expand(made(NoteTable.of([ended, following]), AVERAGE.expand(1, 4, -1)))).exp()
    measured = measured.flatten(1, 2)[0, :, 100]
    np.testing.assert_allclose(measured[:50], math.exp(SUSTAINED), rtol=1e-3)
    assert (measured[50:57] < 1e-6).all()  # its window reaches three frames back
    np.testing.assert_allclose(measured[60:], math.exp(SUSTAINED) / 4, rtol=1e-3)


def played(seed: int, pitches: list[int], n_notes: int = 50) -> Notes:
    rng = np.random.default_rng(seed)
    onsets = 0.2 * np.arange(n_notes)
    return Notes.of((onset, onset + 0.7, int(rng.choice(pitches)), rng.uniform(30, 100)) for onset in onsets.tolist())


def bands_of(made: Instrument, notes: Notes, profile: Tensor = AVERAGE, n_blocks: int = 40) -> Tensor:
    """(n_frames, N_BANDS), in nepers of magnitude."""
    return expand(made(NoteTable.of([NoteExcerpt(notes)]), profile.expand(1, n_blocks, -1))).flatten(0, 2)


def test_a_dictionary_that_was_planted_is_found() -> None:
    """From two performances of four keys; then a third is foretold to a twentieth of what its bands vary by."""
    pitches = [48, 55, 60, 67]
    true, found = planted(), Instrument()
    scores = [played(seed, pitches) for seed in (0, 1)]
    progress: list[tuple[int, int]] = []
    found.fit([bands_of(true, notes) for notes in scores], scores, [0, 1], 100, lambda *at: progress.append(at))
    assert progress == [(n + 1, 100) for n in range(100)]
    assert not any(getattr(found, name).requires_grad for name in Instrument.FITTED)
    fresh = played(2, pitches)
    table, profile = NoteTable.of([NoteExcerpt(fresh)]), AVERAGE.expand(1, 40, -1)
    wanted, guessed = (made(table, profile).flatten(0, 2) for made in (true, found))
    assert (guessed - wanted).square().mean() < 0.05 * wanted.var(0).mean()


def test_a_key_without_examples_sounds_as_its_neighbour_transposed() -> None:
    true, found = planted(), Instrument()
    notes = played(0, [60])
    found.fit([bands_of(true, notes)], [notes], [0], 80, lambda *_: None)
    rows = found.table.view(88, N_AGES, N_BANDS)[:, AGES.index(10)]
    measured = CENTRES[int(rows[60 - 21].argmax())]
    assert measured == pytest.approx(261.6, rel=0.04)
    for semitones in (-3, 2, 12):
        assert CENTRES[int(rows[60 - 21 + semitones].argmax())] == pytest.approx(
            measured * 2 ** (semitones / 12), rel=0.04
        )


@pytest.mark.parametrize(
    ("gain", "tilt", "floor"), [(0.0, 0.0, 0.0), (-2.0, 0.0, 0.0), (1.0, 0.8, 2.0), (0.0, -0.5, 4.0)]
)
def test_a_profile_finds_gain_colour_and_floor(gain: float, tilt: float, floor: float) -> None:
    """In nepers of power; to 0.1 where notes are loud, and 0.1 where nothing but the floor is there."""
    made = instrument(-4.0)
    made.floor.fill_(-15.0)
    made.tail.fill_(-30.0)
    profile = torch.zeros(2 * N_CURVES)
    profile[0], profile[1], profile[N_CURVES] = gain, tilt, floor
    notes = Notes.of([(1.0, 3.0, 60, 64.0), (6.0, 8.0, 60, 64.0)])
    found = made.profile(bands_of(made, notes, profile), notes)
    for ours, theirs in zip(made._curves_of(found), made._curves_of(profile), strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.1, rtol=0)
    level = bands_of(made, notes, found)
    torch.testing.assert_close(level, bands_of(made, notes, profile), atol=0.05, rtol=0)


def test_a_fitted_instruments_profile_of_zeros_is_the_average_recording() -> None:
    """One of two is louder by 2 nepers of power: the average lies 1 from either."""
    true, found = planted(), Instrument()
    profiles = torch.zeros(2, 2 * N_CURVES)
    profiles[:, 0] = torch.tensor([1.0, -1.0])
    notes = played(0, [55, 60])
    bands = [bands_of(true, notes, profile) for profile in profiles]
    found.fit(bands, [notes, notes], [0, 1], 60, lambda *_: None)
    gains = [float(found.profile(each, notes)[0]) for each in bands]
    assert gains[0] - gains[1] == pytest.approx(2, abs=0.3)
    assert sum(gains) == pytest.approx(0, abs=0.3)


def test_transcribed_notes_are_refined_by_the_sound() -> None:
    """Velocities wrong by 12 and offsets by 0.2 s, as deviations; onsets and pitches stay.

    Also where gradients are off otherwise.
    """
    made, rng = planted(), np.random.default_rng(0)
    onsets = np.arange(0.05, 9.5, 0.25)
    pitches, velocities = rng.permutation(np.arange(40, 40 + len(onsets))), rng.uniform(30, 100, len(onsets))
    true = Notes(onsets, onsets + rng.uniform(0.3, 0.8, len(onsets)), pitches, velocities)
    with torch.no_grad():
        bands = expand(made(NoteTable.of([NoteExcerpt(true)]), AVERAGE.expand(1, 40, -1))).flatten(0, 2)
        offsets = np.maximum(true.offsets + rng.normal(0, 0.2, len(true)), true.onsets + 0.1)
        measured = Notes(onsets, offsets, pitches, np.clip(velocities + rng.normal(0, 12, len(true)), 1, 127))
        refined = made.refine(bands, measured, torch.zeros(2 * N_CURVES))
    np.testing.assert_array_equal(refined.pitches, true.pitches)
    np.testing.assert_array_equal(refined.onsets, true.onsets)

    def errors(notes: Notes) -> tuple[float, float]:
        return (
            float(np.median(np.abs(notes.velocities - true.velocities))),
            float(np.median(np.abs(notes.offsets - true.offsets))),
        )

    assert errors(measured)[0] > 6
    assert errors(measured)[1] > 0.1
    assert errors(refined)[0] < 3
    assert errors(refined)[1] < 0.05
