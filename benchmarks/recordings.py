"""Recordings of a minute, as GRUV was trained on, with their notes in MIDI files beside them."""

from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.codecs.events import BLOCK_SECONDS
from waveforms import SAMPLE_RATE
from waveforms.notes.events import Notes
from waveforms.notes.midi import write_midi
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH

SECONDS = 60
NOTES_PER_BLOCK = 2  # eight a second, as in a two-part invention

_N_PARTIALS, _DECAY = 6, 3.0  # nepers of amplitude a second
_LONGEST, _FADE = 1.0, 0.02  # seconds of a note, and of the fall of its damper
_AMPLITUDE, _NOISE = 0.05, 1e-4


def make_recordings(folder: Path, n_recordings: int) -> list[Path]:
    """Write recordings of decaying tones over a little noise, in 16 bits."""
    paths = [folder / f"{n:02d}.wav" for n in range(n_recordings)]
    for n, path in enumerate(paths):
        rng = np.random.default_rng(n)
        notes = random_notes(rng, SECONDS)
        soundfile.write(path, _sound(notes, rng), SAMPLE_RATE, subtype="PCM_16")
        write_midi(path.with_suffix(".mid"), notes.to_performance(path.stem))
    return paths


def random_notes(rng: np.random.Generator, seconds: float) -> Notes:
    """Sample random keys at random times, NOTES_PER_BLOCK of them in each block."""
    n_blocks = int(seconds / BLOCK_SECONDS)
    rows = []
    for block in range(n_blocks):
        for pitch in rng.choice(np.arange(LOWEST_PITCH, HIGHEST_PITCH + 1), NOTES_PER_BLOCK, replace=False).tolist():
            onset = (block + 0.9 * rng.random()) * BLOCK_SECONDS
            rows.append((onset, onset + rng.uniform(0.1, _LONGEST), pitch, rng.uniform(40, 100)))
    return Notes.of(rows)


def _sound(notes: Notes, rng: np.random.Generator) -> NDArray[np.float64]:
    n_samples = SECONDS * SAMPLE_RATE
    waveform = _NOISE * rng.standard_normal(n_samples + round((_LONGEST + _FADE) * SAMPLE_RATE))
    for onset, offset, pitch, velocity in notes.table:
        tone = _tone(int(pitch))[: round((offset - onset + _FADE) * SAMPLE_RATE)]
        fall = (len(tone) - np.arange(len(tone))).clip(max=_FADE * SAMPLE_RATE) / (_FADE * SAMPLE_RATE)
        first = round(onset * SAMPLE_RATE)
        waveform[first : first + len(tone)] += velocity / 64 * fall * tone
    return waveform[:n_samples]


@cache
def _tone(pitch: int) -> NDArray[np.float64]:
    """Make the tone of a key that is held as long as any, at velocity 64."""
    time = np.arange(round((_LONGEST + _FADE) * SAMPLE_RATE)) / SAMPLE_RATE
    frequencies = 440 * 2 ** ((pitch - 69) / 12) * np.arange(1, _N_PARTIALS + 1)
    partials = [np.sin(2 * np.pi * f * time) / n for n, f in enumerate(frequencies, 1) if f < SAMPLE_RATE / 2]
    tone: NDArray[np.float64] = _AMPLITUDE * np.exp(-_DECAY * time) * np.sum(partials, axis=0)
    return tone
