"""Whether a MIDI file holds what a recording plays, and by how much it is late."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from waveforms.notes.events import Notes
from waveforms.notes.matching import match

MOST_OFFSET = 1.0  # seconds that a file may be early or late
STEP = 0.01  # seconds, of the histogram that finds the offset
LEAST_AGREEMENT = 0.4  # from 0, as much as by chance, to 1
FEWEST = 6  # notes in an excerpt from which it is judged by itself
SHIFTS = (-5.1, -3.7, -2.3, 2.3, 3.7, 5.1)  # seconds; what agrees so far apart agrees by chance

Excerpt = tuple[float, float, Notes]  # from and to which second of the recording, and what is heard there


class DoesNotFitError(Exception):
    """Why the notes are not those of the recording; internal, `recordings` names the file."""


@dataclass(frozen=True)
class _Agreement:
    """F1 of the onsets, of the file against what is heard, and what it is by chance."""

    f1: float
    chance: float

    @property
    def beyond_chance(self) -> float:
        return (self.f1 - self.chance) / (1 - self.chance)

    def __str__(self) -> str:
        return f"agree by {100 * self.f1:.0f} % (F1 within 50 ms), and by chance it would be {100 * self.chance:.0f} %"


def find_offset(notes: Notes, excerpts: Sequence[Excerpt], seconds: float) -> float:
    """Seconds by which the notes must be moved to be those of the recording.

    Args:
        notes: of the file.
        excerpts: of the recording, what is heard in each.
        seconds: how long the recording is.

    Raises:
        DoesNotFitError: they are not those of the recording, in all of it or in one of the excerpts; it tells why.
    """
    last = float(notes.onsets.max())
    if last > seconds + MOST_OFFSET:
        raise DoesNotFitError(f"its last note begins at {last:.1f} s, and the recording lasts {seconds:.1f} s")
    offset = _likeliest_offset(notes, excerpts)
    moved = notes.moved(seconds=offset)
    if (whole := _agreement(moved, excerpts)).beyond_chance < LEAST_AGREEMENT:
        raise DoesNotFitError(f"its notes and those that are heard {whole}")
    for start, stop, heard in excerpts:
        if len(heard) >= FEWEST:
            part = _agreement(moved, [(start, stop, heard)])
            if part.beyond_chance < LEAST_AGREEMENT / 2:
                raise DoesNotFitError(f"from {start:.0f} to {stop:.0f} s, its notes and those that are heard {part}")
    return offset


def _likeliest_offset(notes: Notes, excerpts: Sequence[Excerpt]) -> float:
    """Where most onsets of the same key agree: the peak of a histogram of all differences, then their median."""
    heard = _joined(excerpts)
    differences = np.concatenate(
        [
            np.subtract.outer(heard.onsets[heard.pitches == pitch], notes.onsets[notes.pitches == pitch]).ravel()
            for pitch in range(128)
        ]
    )
    differences = differences[np.abs(differences) <= MOST_OFFSET]
    if len(differences) == 0:
        return 0.0
    counts, edges = np.histogram(differences, round(2 * MOST_OFFSET / STEP), (-MOST_OFFSET, MOST_OFFSET))
    peak = edges[np.argmax(np.convolve(counts, np.ones(5), "same"))] + STEP / 2
    return float(np.median(differences[np.abs(differences - peak) <= 5 * STEP / 2]))


def _agreement(notes: Notes, excerpts: Sequence[Excerpt]) -> _Agreement:
    return _Agreement(_f1(notes, excerpts), float(np.mean([_f1(notes.moved(seconds=by), excerpts) for by in SHIFTS])))


def _f1(notes: Notes, excerpts: Sequence[Excerpt]) -> float:
    """The harmonic mean of precision and recall; 0 where there is no note on either side."""
    parts = [(notes.between(start, stop), heard) for start, stop, heard in excerpts]
    n_pairs = sum(len(match(part, heard)) for part, heard in parts)
    n_notes = sum(len(part) + len(heard) for part, heard in parts)
    return 2 * n_pairs / n_notes if n_notes else 0.0


def _joined(excerpts: Sequence[Excerpt]) -> Notes:
    return Notes.of(map(tuple, np.concatenate([heard.table for _, _, heard in excerpts]).tolist()))
