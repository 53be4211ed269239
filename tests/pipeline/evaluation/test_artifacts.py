"""Clicks, steps, glides and bursts that are planted are found where they are; clean playing has next to none."""

import numpy as np
import pytest

from pipeline.evaluation.artifacts import CLICK, NEIGHBOURHOOD, Faults, measure_faults, measure_seams, relative_steps
from tests.pipeline.evaluation.playing import playing
from tests.pipeline.pretrained.test_embeddings import equalised
from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.performance import Note, PedalSpan, Performance
from waveforms.piano.hammer import touch_gains
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway

SCALE = (0, 2, 4, 5, 7, 9, 11, 12)
CHORD = (0, 7, 12, 16, 19, 24, 28)
SECONDS = 20.0


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    return playing(0, 10)


def local_slew(waveform: np.ndarray, sample: int) -> float:
    """RMS of the steps around a sample, taken the plain way."""
    before = np.diff(waveform[sample - NEIGHBOURHOOD : sample])
    after = np.diff(waveform[sample : sample + NEIGHBOURHOOD])
    return float(np.sqrt(max(np.mean(before**2), np.mean(after**2))))


@pytest.mark.parametrize("seed", range(4))
def test_clean_playing_has_no_click_and_no_seam(seed: int) -> None:
    seams = measure_seams(playing(seed, 10))
    assert seams.clicks == ()
    assert seams.largest_step < CLICK - 1
    assert abs(seams.edge_z) < 4
    assert seams.clicks == ()


@pytest.mark.parametrize("sign", [-1, 1])
def test_clicks_of_eight_times_the_local_slew_are_found(clean: np.ndarray, sign: int) -> None:
    waveform = clean.copy()
    places = np.random.default_rng(1).integers(0, 9_000, 40) + 11_000 * np.arange(40)  # never two at once
    places = places[places > 2 * NEIGHBOURHOOD]
    for place in places:
        waveform[place] += sign * 8 * local_slew(clean, place)
    found = np.array(measure_seams(waveform).clicks) * SAMPLE_RATE
    hits = [np.min(np.abs(found - place)) <= 2 for place in places]
    assert np.mean(hits) >= 0.95
    assert len(found) <= len(places)


def test_steps_at_the_edges_are_measured_beside_steps_elsewhere(clean: np.ndarray) -> None:
    offsets = np.random.default_rng(2).choice([-1, 1], len(clean) // BLOCK_SIZE)
    slew = np.sqrt(np.mean(np.diff(clean) ** 2))
    stepped = clean + np.repeat(2 * slew * offsets, BLOCK_SIZE).astype(np.float32)
    seams = measure_seams(stepped)
    assert seams.edge_excess > 6
    assert seams.edge_z > 8
    shifted = measure_seams(stepped[BLOCK_SIZE // 2 :])
    assert abs(shifted.edge_z) < 4


def test_blocks_that_do_not_fit_click_at_their_edges(clean: np.ndarray) -> None:
    shuffled = clean.reshape(-1, BLOCK_SIZE)[np.random.default_rng(3).permutation(40)].ravel()
    seams = measure_seams(shuffled)
    assert len(seams.clicks) > 10
    edges = np.arange(1, 40) * BLOCK_SIZE / SAMPLE_RATE
    at_edge = [np.min(np.abs(edges - click)) < 1e-3 for click in seams.clicks]
    assert all(at_edge)


def test_a_blow_after_silence_is_no_click() -> None:
    rng = np.random.default_rng(4)
    blow = np.zeros(SAMPLE_RATE, np.float32)
    blow[20_000:] = 0.3 * rng.normal(size=24_100) * np.exp(-np.arange(24_100) / 5_000)
    assert measure_seams(blow).clicks == ()
    impulse = np.zeros(SAMPLE_RATE, np.float32)
    impulse[20_000] = 0.3
    assert measure_seams(impulse).clicks == (20_000 / SAMPLE_RATE,)


def test_rounding_in_silence_is_no_click() -> None:
    rounded = np.zeros(SAMPLE_RATE, np.float32)
    rounded[::5_000] = 2.0**-15
    assert measure_seams(rounded).clicks == ()


def test_a_gain_changes_no_step(clean: np.ndarray) -> None:
    assert np.allclose(relative_steps(0.5 * clean), relative_steps(clean), rtol=1e-3)


@pytest.mark.parametrize("n_samples", [2, 100, SAMPLE_RATE])
def test_silence_is_seamless(n_samples: int) -> None:
    seams = measure_seams(np.zeros(n_samples, np.float32))
    assert (seams.edge_excess, seams.edge_z, seams.clicks, seams.largest_step) == (0.0, 0.0, (), 0.0)


def test_a_clip_of_one_sample_has_no_step() -> None:
    with pytest.raises(ValueError, match="a clip must have two samples or more and not 1"):
        measure_seams(np.zeros(1, np.float32))


@pytest.fixture(scope="module")
def piano() -> Steinway:
    return Steinway()


def play(piano: Steinway, *notes: Note, pedal: tuple[PedalSpan, ...] = ()) -> np.ndarray:
    waveform = render(Performance("test", tuple(sorted(notes)), pedal), piano)
    return equalised(waveform[: round(SECONDS * SAMPLE_RATE)])


def two_hands() -> list[Note]:
    """Chords in the left hand, a melody in the right."""
    rng = np.random.default_rng(1)
    notes = []
    for n in range(19):
        root = 43 + SCALE[int(rng.integers(7))]
        notes += [Note(0.2 + n, 0.9, root + k, 55) for k in (0, 7, 12)]
        notes += [Note(0.2 + n + 0.25 * k, 0.24, 65 + SCALE[int(rng.integers(8))], 60 + 3 * k) for k in range(4)]
    return notes


TEXTURES = {
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


@pytest.mark.parametrize("name", TEXTURES)
def test_a_piano_neither_glides_nor_bursts(piano: Steinway, name: str) -> None:
    notes, pedalled = TEXTURES[name]
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
    return equalised(waveform)


@pytest.mark.parametrize("excess", [15.0, 18.0, 24.0])
def test_bursts_that_are_planted_are_found(piano: Steinway, excess: float) -> None:
    gains, planted = np.random.default_rng(2).normal(0, 2, 70), [9, 30, 48, 60]
    gains[planted] += excess
    found = measure_faults(struck(piano, gains)).bursts
    assert [time for time, _ in found] == pytest.approx([0.2 + 0.4 * n for n in planted], abs=0.1)
    assert [by for _, by in found] == pytest.approx(gains[planted], abs=4)  # keys differ by a few dB themselves


def test_loud_textures_crescendos_and_endings_are_no_bursts(piano: Steinway) -> None:
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
