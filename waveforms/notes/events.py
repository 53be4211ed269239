"""Notes as they sound, from the hammer's strike to the damper's fall; and pairs of the same notes in two lists."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH, Note, Performance

TOLERANCE = 0.05  # seconds between onsets of one note, the custom of MIREX


@dataclass(frozen=True, eq=False)
class Notes:
    """Notes sorted by onset, then pitch; the notes of one key do not overlap.

    Attributes:
        onsets: the times at which hammers strike, in seconds, float64 (n_notes,).
        offsets: the times at which dampers fall, with the pedal up, in seconds, after the onsets, float64 (n_notes,).
            The topmost strings have no damper and sound on; their offset is when a damper would fall.
        pitches: MIDI note numbers, 21 to 108, int64 (n_notes,).
        velocities: MIDI velocities, 1 to 127, float64 (n_notes,).
    """

    onsets: NDArray[np.float64]
    offsets: NDArray[np.float64]
    pitches: NDArray[np.int64]
    velocities: NDArray[np.float64]

    @classmethod
    def of(cls, notes: Iterable[tuple[float, float, int, float]]) -> Self:
        """Gather (onset, offset, pitch, velocity) in any order; a key that is struck again ends its previous note.

        >>> Notes.of([(1.0, 2.0, 60, 80), (0.0, 3.0, 60, 64)]).table.tolist()
        [[0.0, 1.0, 60.0, 64.0], [1.0, 2.0, 60.0, 80.0]]
        """
        rows = sorted(notes, key=lambda note: (note[0], note[2]))
        again: dict[int, float] = {}
        kept = []
        for onset, offset, pitch, velocity in reversed(rows):
            next_onset = again.get(pitch, np.inf)
            if next_onset - onset > 1e-6:  # of two onsets at one moment, the later one in the list counts
                kept.append((onset, min(offset, next_onset), pitch, velocity))
                again[pitch] = onset
        return cls.of_table(np.array(kept[::-1], np.float64).reshape(-1, 4))

    @classmethod
    def of_performance(cls, performance: Performance) -> Self:
        """Return the notes that sound when a performance's keys and pedal are played.

        A note is damped when both its key and the pedal are up, or when its key is struck again. The inverse is
        `to_performance`, which holds the key for as long as the note sounds.

        >>> from waveforms.notes import PedalSpan
        >>> Notes.of_performance(Performance("a", (Note(0.0, 0.5, 60, 64),), (PedalSpan(0.2, 2.0),))).offsets.tolist()
        [2.0]
        """
        starts = [span.start for span in performance.pedal]

        def damped(release: float) -> float:
            span = bisect_right(starts, release) - 1
            return max(release, performance.pedal[span].end) if span >= 0 else release

        return cls.of((note.onset, damped(note.release), note.pitch, note.velocity) for note in performance.notes)

    def to_performance(self, name: str) -> Performance:
        """Hold keys for as long as the notes sound, without a pedal. The inverse is `of_performance`."""
        rows = zip(self.onsets, self.offsets, self.pitches, self.velocities, strict=True)
        return Performance(
            name,
            tuple(
                Note(float(on), float(off - on), int(pitch), int(np.clip(round(velocity), 1, 127)))
                for on, off, pitch, velocity in rows
            ),
        )

    @classmethod
    def of_table(cls, table: NDArray[np.float64]) -> Self:
        """Make notes from a table. The inverse is `table`."""
        onsets, offsets, pitches, velocities = table.T
        return cls(onsets, offsets, pitches.astype(np.int64), velocities)

    @property
    def table(self) -> NDArray[np.float64]:
        """Columns of onsets, offsets, pitches and velocities, (n_notes, 4)."""
        return np.stack([self.onsets, self.offsets, self.pitches, self.velocities], axis=1)

    def __len__(self) -> int:
        return len(self.onsets)

    @property
    def seconds(self) -> float:
        """Time until the last damper has fallen; 0 without notes."""
        return float(self.offsets.max()) if len(self) else 0.0

    def between(self, start: float, stop: float) -> Self:
        """Return the notes whose onsets lie in [start, stop), in seconds; their offsets stay."""
        first, beyond = np.searchsorted(self.onsets, [start, stop])
        return self._take(np.arange(first, beyond))

    def sounding_from(self, start: float) -> Self:
        """Return the notes that end after `start` seconds."""
        return self._take(np.flatnonzero(self.offsets > start))

    def moved(self, *, seconds: float = 0.0, semitones: int = 0) -> Self:
        """Return the notes later and higher, without those that leave the keyboard."""
        moved = type(self)(self.onsets + seconds, self.offsets + seconds, self.pitches + semitones, self.velocities)
        return moved._take(np.flatnonzero((moved.pitches >= LOWEST_PITCH) & (moved.pitches <= HIGHEST_PITCH)))

    def joined(self, later: "Notes") -> Self:
        """Return these notes and later ones, whose onsets end earlier notes of the same keys."""
        both = [(n.onsets, n.offsets, n.pitches, n.velocities) for n in (self, later)]
        return type(self).of(row for columns in both for row in zip(*(c.tolist() for c in columns), strict=True))

    def _take(self, index: NDArray[np.int64]) -> Self:
        return type(self)(self.onsets[index], self.offsets[index], self.pitches[index], self.velocities[index])


def match(reference: Notes, estimated: Notes, tolerance: float = TOLERANCE) -> NDArray[np.int64]:
    """Pair notes of one pitch whose onsets lie within a tolerance, as many as can be; each note is used once.

    Because notes lie on a line and all share one tolerance, to take the earliest free partner gives the most pairs.

    >>> a, b = Notes.of([(0.0, 1.0, 60, 64), (2.0, 3.0, 60, 64)]), Notes.of([(2.04, 3.0, 60, 64)])
    >>> match(a, b).tolist()
    [[1, 0]]

    Returns:
        (n_pairs, 2), indices of the reference's and of the estimated notes.
    """
    pairs = []
    for pitch in np.intersect1d(reference.pitches, estimated.pitches):
        of_reference, of_estimated = (np.flatnonzero(notes.pitches == pitch) for notes in (reference, estimated))
        i = j = 0
        while i < len(of_reference) and j < len(of_estimated):
            late = estimated.onsets[of_estimated[j]] - reference.onsets[of_reference[i]]
            if abs(late) <= tolerance:
                pairs.append((of_reference[i], of_estimated[j]))
            i += late >= -tolerance
            j += late <= tolerance
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)
