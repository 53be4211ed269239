"""The notes that were heard in a clip."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Heard = tuple[float, float, int, float]  # onset, offset, pitch, velocity


@dataclass(frozen=True, eq=False)
class Transcription:
    """Notes, sorted by onset.

    Attributes:
        onsets: in seconds, float64 (n_notes,).
        offsets: in seconds, after the onsets and not after the clip's end, float64 (n_notes,).
        pitches: MIDI note numbers, 21 to 108, int64 (n_notes,).
        velocities: as MIDI counts them, 0 to 127, float64 (n_notes,). What they are worth, the transcriber tells.
        seconds: the clip's length.
    """

    onsets: npt.NDArray[np.float64]
    offsets: npt.NDArray[np.float64]
    pitches: npt.NDArray[np.int64]
    velocities: npt.NDArray[np.float64]
    seconds: float

    @property
    def n_notes(self) -> int:
        """How many notes."""
        return len(self.onsets)

    @classmethod
    def of(cls, notes: Iterable[Heard], seconds: float) -> Self:
        """Gather notes in any order; what sounds beyond the clip's end is cut off, and what begins there left out."""
        heard = sorted((onset, min(offset, seconds), pitch, velocity) for onset, offset, pitch, velocity in notes)
        table = np.array([note for note in heard if note[0] < seconds], np.float64).reshape(-1, 4)
        onsets, offsets, pitches, velocities = table.T
        return cls(onsets, offsets, pitches.astype(np.int64), velocities, seconds)
