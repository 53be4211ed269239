"""The network's output for frames -> notes, while the frames come."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from waveforms.notes.performance import LOWEST_PITCH, N_KEYS
from waveforms.notes.spectrogram import FRAMES_PER_SECOND

ONSET_REACH = 2.5  # frames from an onset to where the triangle over it has come down to 0
LIKELY = 0.4  # the height from which a peak counts as an onset
SHORTEST = 0.03  # seconds

Row = tuple[float, float, int, float]  # onset, offset, pitch, velocity, as `Notes.of` takes them


class Tracker:
    """Follows every key from frame to frame.

    An onset is a peak in time of the onset's height; the heights of its two neighbours place it between frames. The
    note ends where the key's probability to sound falls below a half, or at the key's next onset.
    """

    def __init__(self) -> None:
        self._pending = np.zeros((1, N_KEYS, 3), np.float32)  # the last frames, which need the next one
        self._first = -1  # the number of the first of them
        self._open: dict[int, tuple[float, float]] = {}  # by key: onset in frames, velocity

    def add(self, frames: NDArray[np.float32]) -> Iterator[Row]:
        """Take the next frames and yield the notes that end there.

        Shape:
            (n_frames, N_KEYS, 3): height of the onset, velocity as a share of 127, probability to sound
        """
        pending = np.concatenate((self._pending, frames))
        yield from self._notes(pending)
        self._first += max(0, len(pending) - 2)
        self._pending = pending[-2:]

    def end(self) -> Iterator[Row]:
        """Yield the notes that still sound at the end of the recording."""
        yield from self.add(np.zeros((1, N_KEYS, 3), np.float32))
        for key in list(self._open):
            yield from self._close(key, self._first + 1)

    def _notes(self, pending: NDArray[np.float32]) -> Iterator[Row]:
        """Look at all frames but the first and the last, each between its neighbours."""
        heights, sounding = pending[..., 0], pending[..., 2]
        before, now, after = heights[:-2], heights[1:-1], heights[2:]
        onset_at = (now >= LIKELY) & (now > before) & (now >= after)
        for key in sorted({*np.flatnonzero(onset_at.any(0)).tolist(), *self._open}):
            frames = np.flatnonzero(onset_at[:, key]) + 1  # as `pending` counts
            silent = np.flatnonzero(sounding[1:-1, key] < 0.5) + 1
            for frame, beyond in pairwise((0, *frames.tolist(), len(pending))):
                if frame:
                    yield from self._close(
                        key, onset := self._first + frame + 0.5 + _peak(heights[frame - 1 : frame + 2, key])
                    )
                    self._open[key] = onset, float(pending[frame, key, 1])
                ends = silent[np.searchsorted(silent, frame + 1) :][:1]
                if key in self._open and len(ends) and ends[0] < beyond:
                    yield from self._close(
                        key, self._first + ends[0] + 0.5 - _since_half(sounding[ends[0] - 1 : ends[0] + 1, key])
                    )

    def _close(self, key: int, offset: float) -> Iterator[Row]:
        """Yield this key's open note, if there is one."""
        if key in self._open:
            onset, velocity = self._open.pop(key)
            start = max(0.0, onset / FRAMES_PER_SECOND)
            end = max(offset / FRAMES_PER_SECOND, start + SHORTEST)
            yield start, end, key + LOWEST_PITCH, float(np.clip(127 * velocity, 1, 127))


def _peak(heights: NDArray[np.float32]) -> float:
    """Locate a triangle's peak from the three frames around it, from -0.5 to 0.5 of a frame.

    Kong et al. 2021, equation 9: the side without the peak's bend gives the slope.
    """
    before, now, after = heights.tolist()
    return float((after - before) / (2 * (now - min(before, after))))


def _since_half(sounding: NDArray[np.float32]) -> float:
    """Count the frames from where the probability falls to a half to the second of two; 0 if it was below before."""
    before, now = sounding.tolist()
    return float((0.5 - now) / (before - now)) if before > 0.5 else 0.0
