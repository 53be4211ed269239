"""A little made-up music, of which every note is known."""

from functools import cache
from pathlib import Path

import mido
import numpy as np

from waveforms.audio import Waveform
from waveforms.notes import Note, Notes, PedalSpan, Performance
from waveforms.notes.events import match
from waveforms.piano.render import render
from waveforms.piano.steinway import Steinway


def little_piece(seed: int = 0, seconds: float = 8.0, *, tempo: float = 1.0) -> Performance:
    """Make a tune over broken chords, with a pedal for each chord, from soft to loud."""
    rng = np.random.default_rng(seed)
    beat = 0.5 / tempo
    notes, pedal = [], []
    for bar, start in enumerate(np.arange(0.3, seconds / tempo - 4 * beat, 4 * beat)):
        root = int(rng.integers(36, 50))
        pedal.append(PedalSpan(start + 0.1, start + 3.9 * beat))
        loud = 50 + 15 * (bar % 4)
        for n, step in enumerate((0, 7, 12, 16, 19, 16, 12, 7)):
            notes.append(Note(start + n * beat / 2, 0.4 * beat, root + step, int(loud + rng.integers(-8, 9))))
        for n in range(4):
            pitch = 72 + int(rng.choice([0, 2, 4, 5, 7, 9, 11]))
            notes.append(Note(start + n * beat + rng.uniform(0, 0.01), 0.9 * beat, pitch, int(loud + 15)))
    return Performance(f"piece_{seed}", tuple(sorted(notes)), tuple(pedal))


@cache
def steinway() -> Steinway:
    """Return one instrument for all tests: its keys are decoded once."""
    return Steinway()


@cache
def sound_of(performance: Performance) -> Waveform:
    return render(performance, steinway())


def f1(reference: Notes, estimated: Notes, tolerance: float = 0.05) -> float:
    """Compute the harmonic mean of precision and recall of onsets."""
    return 2 * len(match(reference, estimated, tolerance)) / (len(reference) + len(estimated))


def save_midi(path: Path, *messages: mido.Message | mido.MetaMessage, ticks: int = 480) -> Path:
    midi = mido.MidiFile(ticks_per_beat=ticks)
    midi.tracks.append(mido.MidiTrack(messages))
    path.parent.mkdir(parents=True, exist_ok=True)
    midi.save(path)
    return path


def key(pitch: int, after: int, *, down: bool = True, channel: int = 0) -> mido.Message:
    """Make the message of a key that goes down, or up by velocity 0 as in many files, `after` ticks later."""
    return mido.Message("note_on", note=pitch, velocity=90 if down else 0, time=after, channel=channel)


def pedal(value: int, after: int) -> mido.Message:
    return mido.Message("control_change", control=64, value=value, time=after)
