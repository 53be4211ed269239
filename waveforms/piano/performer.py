"""Written notes -> a performance with the timing, touch and pedal of a pianist."""

import zlib
from itertools import pairwise

import numpy as np

from waveforms.notes.performance import Note, PedalSpan, Performance, into_range
from waveforms.piano.score import Score, Style
from waveforms.piano.timing import Clock
from waveforms.piano.touch import asynchrony, durations, outer_voices, velocities

LEAD_IN = 0.25  # seconds of silence before the first note
PEDAL_UP, PEDAL_DOWN = 0.015, 0.09  # seconds after a new harmony that the old pedal lifts and the new falls
LAST_PEDAL = 1.2  # seconds that the last chord rings
SHORTEST_PEDAL = 0.1  # seconds


def perform(score: Score, style: Style, *, name: str, seed: int = 0) -> Performance:
    """Play a score.

    `seed` and `name` alone seed the randomness (through CRC-32, not `hash`, which Python salts), so a piece sounds the
    same whatever else is played.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    clock = Clock(score, style, rng)
    melody, bass = outer_voices(score)
    written_onset = clock(np.array([note.onset for note in score.notes])) + LEAD_IN
    written_end = clock(np.array([note.end for note in score.notes])) + LEAD_IN
    velocity = velocities(score, style, melody, bass, rng)
    onset = written_onset + asynchrony(melody, rng)
    held = durations(score, style, onset, written_end - written_onset)
    notes = tuple(
        sorted(
            Note(float(onset[i]), float(held[i]), into_range(note.pitch), int(velocity[i]))
            for i, note in enumerate(score.notes)
        )
    )
    return Performance(name, notes, _pedal(score, style, clock))


def _pedal(score: Score, style: Style, clock: Clock) -> tuple[PedalSpan, ...]:
    """Pedal with syncopation: up just after each new harmony sounds, down again some 0.1 s later.

    After Repp, "Pedal timing and tempo in expressive piano performance", Psychology of Music 24 (1996).
    """
    if style.pedal <= 0:
        return ()
    changes = clock(np.array([*_harmonies(score), score.quarters])) + LEAD_IN
    spans = []
    for begin, end in pairwise(changes):
        start = begin + PEDAL_DOWN
        stop = end + PEDAL_UP if style.pedal >= 1 else begin + style.pedal * (end - begin)
        if stop - start >= SHORTEST_PEDAL:
            spans.append(PedalSpan(float(start), float(stop)))
    if spans and spans[-1].end >= changes[-1]:
        spans[-1] = PedalSpan(spans[-1].start, float(changes[-1]) + LAST_PEDAL)
    return tuple(spans)


def _harmonies(score: Score) -> list[float]:
    """Find where new harmonies begin, in quarter notes: on bar lines, and on beats where the bass moves."""
    changes: list[float] = []
    last_bass = -1
    for bar in score.measures:
        for beat in np.arange(bar.start, bar.end - 1e-6, bar.beat):
            begun = [note.pitch for note in score.notes if abs(note.onset - beat) < 1e-3]
            sounding = [note.pitch for note in score.notes if note.onset <= beat + 1e-3 < note.end]
            bass = min(sounding, default=-1)
            if begun and (bass != last_bass or beat == bar.start):
                changes.append(float(beat))
                last_bass = bass
    return changes or [0.0]
