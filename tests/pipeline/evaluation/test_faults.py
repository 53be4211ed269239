"""Glides and bursts that are planted in the sampled piano are found, and the piano itself has next to none."""

import numpy as np
import pytest

from pipeline.evaluation.artifacts import Faults, measure_faults
from pipeline.evaluation.embeddings import at_equal_loudness
from waveforms import SAMPLE_RATE
from waveforms.notes.performance import Note, PedalSpan, Performance
from waveforms.piano.hammer import touch_gains
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway

SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
CHORD = (0, 7, 12, 16, 19, 24, 28)
SECONDS = 20.0


@pytest.fixture(scope="module")
def piano() -> Steinway:
    return Steinway()


def play(piano: Steinway, *notes: Note, pedal: tuple[PedalSpan, ...] = ()) -> np.ndarray:
    waveform = render(Performance("test", tuple(sorted(notes)), pedal), piano)
    return at_equal_loudness(waveform[: round(SECONDS * SAMPLE_RATE)])


def two_hands() -> list[Note]:
    """Chords in the left hand, a melody in the right."""
    rng = np.random.default_rng(1)
    notes = []
    for n in range(19):
        root = 43 + SCALE[int(rng.integers(7))]
        notes += [Note(0.2 + n, 0.9, root + k, 55) for k in (0, 7, 12)]
        notes += [Note(0.2 + n + 0.25 * k, 0.24, 65 + SCALE[int(rng.integers(8))], 60 + 3 * k) for k in range(4)]
    return notes


PASSAGES = {
    "two hands": (two_hands(), False),
    "pedal": (two_hands(), True),
    "dense chords": ([Note(0.2 + 0.9 * n, 0.8, 36 + n % 5 + k, 70) for n in range(20) for k in CHORD], False),
    "trill of semitones": ([Note(0.2 + 0.08 * n, 0.09, 57 + n % 2, 60) for n in range(240)], False),
    "trill in the bass": ([Note(0.2 + 0.1 * n, 0.11, 40 + n % 2, 60) for n in range(190)], True),
    "tremolo in the bass": ([Note(0.2 + 0.09 * n, 0.08, 46 + 7 * (n % 2), 60 + n % 9) for n in range(210)], True),
    "chromatic run": ([Note(0.2 + 0.2 * n, 0.23, 45 + min(n % 24, 24 - n % 24), 60) for n in range(95)], False),
    "chromatic legato": ([Note(0.2 + 0.3 * n, 0.35, 45 + min(n % 24, 24 - n % 24), 60) for n in range(64)], False),
    "seconds that beat": ([Note(0.2 + 2 * n, 1.9, 45 + n + k, 60) for n in range(9) for k in (0, 1)], False),
}  # fmt: skip


@pytest.mark.parametrize("name", PASSAGES)
def test_a_piano_neither_glides_nor_bursts(piano: Steinway, name: str) -> None:
    notes, pedalled = PASSAGES[name]
    pedal = tuple(PedalSpan(2.0 * n, 2.0 * n + 1.9) for n in range(10)) if pedalled else ()
    found = measure_faults(play(piano, *notes, pedal=pedal))
    assert found.glide_share < 0.002, found
    assert len(found.glides) <= 1, found  # three a minute
    assert found.bursts == ()


def gliding(pitch: int, cents: float, seconds: float) -> np.ndarray:
    """A note of four partials that decay as a piano's do, and bend from 0.3 s on, (n_samples,); RMS about 0.06."""
    time = np.arange(round(1.6 * SAMPLE_RATE)) / SAMPLE_RATE
    bend = 2 ** (cents / 1200 * np.clip((time - 0.3) / seconds, 0, 1))
    cycles = np.cumsum(440 * 2 ** ((pitch - 69) / 12) * bend) / SAMPLE_RATE
    sound = sum(np.sin(2 * np.pi * n * cycles) / n for n in range(1, 5)) * np.exp(-1.5 * time)
    return 0.1 * sound * np.minimum(time / 0.005, 1) * np.minimum((1.6 - time) / 0.05, 1)


def with_glides(waveform: np.ndarray, times: tuple[float, ...], *bend: float) -> Faults:
    planted = waveform.copy()
    for time, pitch in zip(times, (40, 45, 50, 55, 60), strict=True):
        start, note = round(time * SAMPLE_RATE), gliding(pitch, *bend)
        planted[start : start + len(note)] += note.astype(np.float32)
    return measure_faults(planted)


@pytest.mark.parametrize("bend", [(100.0, 0.5), (-100.0, 0.5), (200.0, 0.6), (300.0, 1.0)])
def test_glides_that_are_planted_are_found(piano: Steinway, bend: tuple[float, float]) -> None:
    times = (1.0, 4.5, 8.0, 11.5, 15.0)
    found = with_glides(play(piano, *two_hands()), times, *bend)
    for time in times:
        bends = [start < time + 0.3 + bend[1] and start + seconds > time + 0.3 for start, seconds in found.glides]
        assert any(bends), time
    assert len(found.glides) <= len(times) + 2
    assert 0.005 < found.glide_share < 0.1  # of 20 s, 2.5 to 5, in which one note of six bends


def test_notes_that_stay_and_notes_that_step_do_not_glide(piano: Steinway) -> None:
    times = (1.0, 4.5, 8.0, 11.5, 15.0)
    waveform = play(piano, *two_hands())
    for bend in ((0.0, 0.5), (100.0, 0.02), (20.0, 0.5)):
        assert len(with_glides(waveform, times, *bend).glides) <= 1, bend


def struck(piano: Steinway, gains: np.ndarray) -> np.ndarray:
    """Notes every 0.4 s, each with its own gain in dB, as the piano was recorded, (n_samples,)."""
    rng = np.random.default_rng(0)
    waveform = np.zeros(round((0.4 * len(gains) + 4) * SAMPLE_RATE), np.float32)
    for n, gain in enumerate(gains):
        key = touch_gains(70) @ piano.note(int(rng.integers(52, 76)))
        key = key[: round(0.6 * SAMPLE_RATE)] * np.exp(-3 * np.arange(round(0.6 * SAMPLE_RATE)) / SAMPLE_RATE)
        start = round((0.2 + 0.4 * n) * SAMPLE_RATE)
        waveform[start : start + len(key)] += 10 ** (gain / 20) * key
    return at_equal_loudness(waveform)


@pytest.mark.parametrize("excess", [15.0, 18.0, 24.0])
def test_bursts_that_are_planted_are_found(piano: Steinway, excess: float) -> None:
    gains, planted = np.random.default_rng(2).normal(0, 2, 70), [9, 30, 48, 60]
    gains[planted] += excess
    found = measure_faults(struck(piano, gains)).bursts
    assert [time for time, _ in found] == pytest.approx([0.2 + 0.4 * n for n in planted], abs=0.1)
    assert [by for _, by in found] == pytest.approx(gains[planted], abs=4)  # keys differ by a few dB themselves


def test_loud_passages_crescendos_and_endings_are_no_bursts(piano: Steinway) -> None:
    gains = np.random.default_rng(3).normal(0, 2, 70)
    for shape in (
        np.where(np.arange(70) < 35, 0, 20),  # suddenly loud
        np.where(np.arange(70) < 35, 20, 0),  # suddenly soft
        24 * np.sin(np.pi * np.arange(70) / 70),  # a swell
        np.where(np.arange(70) == 69, 20, 0),  # the last chord
    ):
        assert measure_faults(struck(piano, gains + shape)).bursts == (), shape


def test_what_has_no_partials_has_no_faults() -> None:
    for waveform in (np.zeros(SAMPLE_RATE, np.float32), np.zeros(100, np.float32)):
        found = measure_faults(waveform)
        assert (found.glide_share, found.glides, found.bursts) == (0.0, (), ())
    with pytest.raises(ValueError, match="a clip must have samples, and this one has none"):
        measure_faults(np.zeros(0, np.float32))


def test_a_single_long_glide_is_timed() -> None:
    """A chirp through an octave in 2 s, 600 cents a second: the share and the time are known."""
    time = np.arange(5 * SAMPLE_RATE) / SAMPLE_RATE
    bend = 2 ** np.clip((time - 1.5) / 2, 0, 1)
    chirp = 0.1 * np.sin(2 * np.pi * np.cumsum(110 * bend) / SAMPLE_RATE)
    found = measure_faults(chirp.astype(np.float32))
    ((start, seconds),) = found.glides
    assert start == pytest.approx(1.5, abs=0.25)
    assert seconds == pytest.approx(2.0, abs=0.4)
    assert found.glide_share == pytest.approx(0.4, abs=0.08)
