"""Statistics of a clip's notes: how many, how many at once, how high, loud, long and far apart, in how clear a key."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import EvaluationError
from waveforms.notes.events import Notes
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH

Histogram = npt.NDArray[np.float64]

MOST_AT_ONCE = 16  # notes; a moment with more counts as one with so many
CHORD = 0.03  # seconds: onsets nearer than that are one chord's, and no interval
# Edges of the bins of inter-onset intervals: three an octave from 30 ms to 7.7 s, and one for all that is longer.
INTERVAL_EDGES = np.append(CHORD * 2.0 ** (np.arange(25) / 3.0), np.inf)
# Edges of the bins of durations: three an octave from 50 ms to 6.4 s, one for all below and one for all above.
DURATION_EDGES = np.array([0.0, *(0.05 * 2.0 ** (np.arange(22) / 3.0)), np.inf])
VELOCITY_EDGES = np.arange(0.0, 129.0, 8.0)  # of 16 bins
END = 60.0  # seconds: a clip's first and last minute are compared; of less than three minutes the first and last third

# How well each degree of a scale fits a key, judged by people after a cadence in C major and in C minor: Krumhansl &
# Kessler, "Tracing the dynamic changes in perceived tonal organization in a spatial representation of musical keys"
# (Psychological Review 89, 1982).
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
_N_KEYS = HIGHEST_PITCH - LOWEST_PITCH + 1  # of the keyboard
_SUMS = ("seconds", "n_notes", "pitches", "at_once", "onset_intervals", "durations", "velocities", "n_first", "n_last")


@dataclass(frozen=True, eq=False)
class NoteStatistics:
    """A clip's notes, or a set's, in numbers that add up: a set's are its clips' sums and means.

    Attributes:
        seconds: how long the music is.
        n_notes: how many begin.
        pitches: how many of each key of the piano begin, A0 first, (88,).
        at_once: the seconds in which 0, 1, ... MOST_AT_ONCE notes sound, (17,).
        onset_intervals: times between an onset and the next in the bins of INTERVAL_EDGES, (25,).
        durations: durations of notes in the bins of DURATION_EDGES, (23,).
        velocities: velocities of notes in the bins of VELOCITY_EDGES, (16,).
        gaps: times from one onset to the next, chords counted once, in seconds, (n_gaps,).
        n_first: how many notes begin in the first minute or third, see END.
        n_last: how many begin in the last.
        velocity_std: standard deviation of the velocities, in MIDI's steps, 0 without notes. A set has the mean of its
            clips', weighted by their numbers of notes.
        key_clarity: see `key_clarity`; a set has the mean likewise.
    """

    seconds: float
    n_notes: int
    pitches: Histogram
    at_once: Histogram
    onset_intervals: Histogram
    durations: Histogram
    velocities: Histogram
    gaps: npt.NDArray[np.float64]
    n_first: int
    n_last: int
    velocity_std: float
    key_clarity: float

    @property
    def notes_per_second(self) -> float:
        """How many notes begin in a second."""
        return self.n_notes / self.seconds

    @property
    def polyphony(self) -> float:
        """How many notes sound, in the mean over time; rests count as 0, and more than MOST_AT_ONCE as that."""
        return float(self.at_once @ np.arange(len(self.at_once))) / self.seconds

    @property
    def pitch_classes(self) -> Histogram:
        """How many notes of each name begin, C first, (12,)."""
        return pitch_classes_of(self.pitches)


def measure_notes(notes: Notes, seconds: float) -> NoteStatistics:
    """Count the notes of a clip of that length, in which all of them end."""
    pitches = np.bincount(notes.pitches - LOWEST_PITCH, minlength=_N_KEYS).astype(np.float64)
    gaps = np.diff(notes.onsets)
    end = min(END, seconds / 3)
    return NoteStatistics(
        seconds=seconds,
        n_notes=len(notes),
        pitches=pitches,
        at_once=_at_once(notes, seconds),
        onset_intervals=np.histogram(gaps, INTERVAL_EDGES)[0].astype(np.float64),
        durations=np.histogram(notes.offsets - notes.onsets, DURATION_EDGES)[0].astype(np.float64),
        velocities=np.histogram(notes.velocities, VELOCITY_EDGES)[0].astype(np.float64),
        gaps=gaps[gaps >= CHORD],
        n_first=int(np.count_nonzero(notes.onsets < end)),
        n_last=int(np.count_nonzero(notes.onsets >= seconds - end)),
        velocity_std=float(notes.velocities.std()) if len(notes) else 0.0,
        key_clarity=key_clarity(pitch_classes_of(pitches)),
    )


def pooled(clips: Sequence[NoteStatistics]) -> NoteStatistics:
    """Take a set's clips together, as if they were played one after the other.

    Velocities and keys are only looked at within clips: one clip may be recorded louder than another, and two clear
    keys together are none.

    Raises:
        EvaluationError: there is no clip.
    """
    if not clips:
        raise EvaluationError("a set must have a clip or more to have notes, and this one has none")
    n_notes = np.array([clip.n_notes for clip in clips])
    weights = n_notes / max(n_notes.sum(), 1)
    return NoteStatistics(
        **{name: sum(getattr(clip, name) for clip in clips) for name in _SUMS},
        gaps=np.concatenate([clip.gaps for clip in clips]),
        velocity_std=float(weights @ [clip.velocity_std for clip in clips]),
        key_clarity=float(weights @ [clip.key_clarity for clip in clips]),
    )


def key_clarity(pitch_classes: Histogram) -> float:
    """How well notes fit the key that they fit best: the greatest of 24 correlations.

    Krumhansl, "Cognitive foundations of musical pitch" (1990), chapter 4, with notes counted where the
    book adds up their durations, since a transcriber finds onsets better than offsets.

    Args:
        pitch_classes: how many notes of each name, C first, (12,).

    Returns:
        -1 to 1; a scale has about 0.8. 0 if there is no note, or the same number of each.
    """
    if np.ptp(pitch_classes) == 0.0:
        return 0.0
    profiles = np.array([np.roll(mode, tonic) for mode in (_MAJOR, _MINOR) for tonic in range(12)])
    return float(np.corrcoef(pitch_classes, profiles)[0, 1:].max())


def pitch_classes_of(pitches: Histogram) -> Histogram:
    """Add up a histogram of keys by the notes' names, (88,) -> (12,), C first."""
    names = np.arange(LOWEST_PITCH, HIGHEST_PITCH + 1) % 12
    return np.bincount(names, weights=pitches, minlength=12).astype(np.float64)


def _at_once(notes: Notes, seconds: float) -> Histogram:
    """The seconds in which so many notes sound, (MOST_AT_ONCE + 1,)."""
    times = np.concatenate([[0.0], notes.onsets, notes.offsets, [seconds]])
    changes = np.concatenate([[0], np.ones(len(notes), int), np.full(len(notes), -1), [0]])
    order = np.argsort(times, kind="stable")
    n_sounding = np.cumsum(changes[order])[:-1].clip(0, MOST_AT_ONCE)
    return np.bincount(n_sounding, weights=np.diff(times[order]), minlength=MOST_AT_ONCE + 1).astype(np.float64)
