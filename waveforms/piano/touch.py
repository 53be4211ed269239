"""Velocities, asynchronies and durations of the notes of a performance.

Sources of the rules:
    Friberg, Bresin and Sundberg, "Overview of the KTH rule system for musical performance", Advances in
        Cognitive Psychology 2 (2006): phrase arch, high-loud, repetition articulation, staccato, legato.
    Goebl, "Melody lead in piano performance: expressive device or artifact?", JASA 110 (2001): the melody is
        struck harder, and for that reason some 10 to 30 ms sooner, than the notes written with it.
"""

import numpy as np
from numpy.typing import NDArray

from waveforms.piano.score import Score, Style
from waveforms.piano.timing import arc, phrases

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

SOFTEST, LOUDEST = 18, 120  # MIDI velocities that a rule may reach
MELODY_VELOCITY, INNER_VELOCITY = 10.0, -11.0
PHRASE_VELOCITY, PIECE_VELOCITY = 14.0, 7.0  # factors of an arc of height 1
BAR_VELOCITY, BEAT_VELOCITY, OFFBEAT_VELOCITY = 5.0, 1.5, -3.5
ACCENT_VELOCITY = 12.0
HIGH_LOUD = 0.35  # velocity a semitone above the piece's mean
VELOCITY_NOISE = 3.0  # std
MELODY_LEAD = 0.016  # seconds
ONSET_STD = 0.006  # seconds, std of each note's onset
STACCATO = 0.45  # share of the written time
REPETITION_GAP = 0.06  # seconds a key needs to come up before it is struck again


def outer_voices(score: Score) -> tuple[Bools, Bools]:
    """Find the notes that are the highest, and those that are the lowest, of all that sound at their onset.

    Returns:
        melody, bass: each (n_notes,). A note that sounds alone is melody and not bass.
    """
    onset = np.array([note.onset for note in score.notes])
    end = np.array([note.end for note in score.notes])
    pitch = np.array([note.pitch for note in score.notes])
    # row: a note; column: the others that sound when it begins
    sounding = (onset[None, :] <= onset[:, None] + 1e-6) & (end[None, :] > onset[:, None] + 1e-6)
    melody = ~np.any(sounding & (pitch[None, :] > pitch[:, None]), axis=1)
    bass = ~np.any(sounding & (pitch[None, :] < pitch[:, None]), axis=1) & ~melody
    return melody, bass


def velocities(score: Score, style: Style, melody: Bools, bass: Bools, rng: np.random.Generator) -> NDArray[np.int64]:
    """Compute the MIDI velocity of every note.

    Shape:
        melody, bass: (n_notes,) -> (n_notes,)
    """
    onset = np.array([note.onset for note in score.notes])
    pitch = np.array([note.pitch for note in score.notes], dtype=np.float64)
    marked = [style.velocity if note.velocity is None else note.velocity for note in score.notes]
    velocity = np.array(marked, dtype=np.float64) + np.array([note.swell for note in score.notes])
    velocity += np.where(melody, MELODY_VELOCITY, np.where(bass, 0.0, INNER_VELOCITY))
    velocity += HIGH_LOUD * (pitch - pitch.mean())
    for start, end in phrases(score, style):
        inside = (onset >= start) & (onset < end)
        velocity[inside] += PHRASE_VELOCITY * arc(onset[inside], start, end)
    velocity += PIECE_VELOCITY * arc(onset, 0.0, score.quarters)
    velocity += _metric_accents(score, onset)
    velocity += ACCENT_VELOCITY * np.array([note.accent for note in score.notes])
    velocity += VELOCITY_NOISE * rng.standard_normal(len(velocity))
    bounded: NDArray[np.int64] = np.clip(np.rint(velocity), SOFTEST, LOUDEST).astype(np.int64)
    return bounded


def asynchrony(melody: Bools, rng: np.random.Generator) -> Floats:
    """Sample each note's delay after its written onset, in seconds; the melody leads, so its delay is negative.

    The lead varies by a third from note to note; the scatter of all notes is clipped at two std.

    Shape:
        (n_notes,) -> (n_notes,)
    """
    lead = MELODY_LEAD * (1 + np.clip(rng.standard_normal(len(melody)) / 3, -1, 1))
    scatter = ONSET_STD * np.clip(rng.standard_normal(len(melody)), -2, 2)
    return np.where(melody, -lead, 0.0) + scatter


def durations(score: Score, style: Style, onset: Floats, written: Floats) -> Floats:
    """Compute the seconds that each key stays down.

    Args:
        score: the score.
        style: the style.
        onset: (n_notes,) the onset of each note, in seconds.
        written: (n_notes,) the written duration of each note, in seconds of the tempo curve.

    Returns:
        (n_notes,), each above 0; a key is up REPETITION_GAP (or half the time) before it is struck again.
    """
    staccato = np.array([note.staccato for note in score.notes])
    held = written * np.where(staccato, STACCATO, style.articulation)
    next_strike: dict[int, float] = {}
    for index in np.argsort(onset)[::-1]:
        pitch = score.notes[index].pitch
        until = next_strike.get(pitch, np.inf) - onset[index]
        held[index] = max(min(held[index], max(until - REPETITION_GAP, until / 2)), 0.02)
        next_strike[pitch] = onset[index]
    return held


def _metric_accents(score: Score, onset: Floats) -> Floats:
    """Compute the velocity added on bar lines and beats, and taken away between them."""
    starts = np.array([bar.start for bar in score.measures])
    bar = np.clip(np.searchsorted(starts, onset + 1e-6, side="right") - 1, 0, None)
    beat = np.array([bar.beat for bar in score.measures])[bar]
    position = (onset - starts[bar]) / beat
    on_beat = np.abs(position - np.rint(position)) < 1e-3
    on_bar = np.abs(position) < 1e-3
    return np.where(on_bar, BAR_VELOCITY, np.where(on_beat, BEAT_VELOCITY, OFFBEAT_VELOCITY))
