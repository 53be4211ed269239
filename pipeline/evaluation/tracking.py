"""Frames that keys sound and begin -> notes, as in section 2.3 of the basic-pitch paper (ICASSP 2022).

    peaks of the onsets, last first: each follows its key until that has been quiet for 11 frames
    then, loudest first, what still sounds and was no note's: from its peak both ways

A note takes what sounds from its key and from both neighbours, which sound along with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]  # (n_frames, 3, n_keys): probability that it sounds; that it begins; power
Keys = npt.NDArray[np.float32]  # (n_frames, n_keys): one of these

_N_STRETCH = 5_000  # frames, a minute: notes are sought in so much at a time
_N_MARGIN = 1_250  # frames, 15 s before and behind a stretch; a note that lasts longer beyond is cut off there
_N_RISE = 2  # frames
_N_BEFORE, _N_AFTER = 6, 8  # frames, 70 and 93 ms: the onset is a frame or two long, and the power's windows longer


@dataclass(frozen=True)
class Thresholds:
    """What counts as a note.

    Attributes:
        onset: probability from which a peak begins a note.
        sounding: probability below which a frame is quiet.
        n_shortest: frames, that a note must have more of.
        rise: whether a steep rise of the probability that a key sounds is an onset too.
        rest: whether what sounds without an onset is a note too.
        n_quiet: so many quiet frames end a note.
    """

    onset: float
    sounding: float
    n_shortest: int
    rise: bool
    rest: bool
    n_quiet: int = 11


# As published, for any instrument; the rise is the published program's and not in the paper.
PUBLISHED = Thresholds(onset=0.5, sounding=0.3, n_shortest=11, rise=True, rest=True)
# A piano's note has an onset and does not swell, so what has none is a partial or the pedal's halo. Chosen on seven
# pieces of the sampled piano, whose notes are known: F1 of the onsets is 0.89 so and 0.80 as published; on seven others
# 0.87 and 0.81.
PIANO = Thresholds(onset=0.6, sounding=0.4, n_shortest=8, rise=False, rest=False)


@dataclass(frozen=True, order=True)
class Tracked:
    """A note in frames.

    Attributes:
        start: its first frame.
        stop: the frame after its last.
        key: counted from 0.
        attack: how much power the onset adds.
    """

    start: int
    stop: int
    key: int
    attack: float


def track(pieces: Iterable[Frames], thresholds: Thresholds = PIANO) -> Iterator[Tracked]:
    """Find the notes of a recording, in memory that does not grow with it.

    Args:
        pieces: its frames in order, in pieces of any length.
        thresholds: see there.

    Yields:
        The notes, sorted by start, then by stop and key.
    """
    for position, first, stop, frames in _stretches(pieces):
        for note in sorted(_notes(frames, thresholds)):
            if first <= note.start < stop:
                yield Tracked(position + note.start, position + note.stop, note.key, note.attack)


def _stretches(pieces: Iterable[Frames]) -> Iterator[tuple[int, int, int, Frames]]:
    """Cut frames into stretches with margins.

    Yields:
        Where the cut begins; within it, where the stretch begins and stops; and its frames.
    """
    held: list[Frames] = []
    position = first = n_held = 0
    for piece in pieces:
        held.append(piece)
        n_held += len(piece)
        while n_held >= first + _N_STRETCH + _N_MARGIN:
            frames = np.concatenate(held)
            stop = first + _N_STRETCH
            yield position, first, stop, frames[: stop + _N_MARGIN]
            n_gone = max(0, stop - _N_MARGIN)
            held, n_held = [frames[n_gone:]], n_held - n_gone
            position, first = position + n_gone, stop - n_gone
    if n_held > first:
        yield position, first, n_held, np.concatenate(held)


def _notes(frames: Frames, wanted: Thresholds) -> Iterator[Tracked]:
    """Find the notes of one cut, in the order in which they take what sounds."""
    left = frames[:, 0].copy()
    for start, key in _onsets(frames, wanted):
        stop = start + 1 + _reach(left[start + 1 :, key], wanted)
        if stop - start > wanted.n_shortest:
            _take(left, start, stop, key)
            yield Tracked(start, stop, key, _attack(frames[:, 2, key], start))
    if not wanted.rest:
        return
    for peak, key in _descending(left, wanted.sounding):
        if left[peak, key] > 0.0:  # and no other note has taken it
            stop = peak + 1 + _reach(left[peak + 1 :, key], wanted)
            start = peak - _reach(left[:peak, key][::-1], wanted)
            _take(left, start, stop, key)
            if stop - start > wanted.n_shortest + 1:  # its peak apart
                yield Tracked(start, stop, key, _attack(frames[:, 2, key], start))


def _onsets(frames: Frames, wanted: Thresholds) -> Iterator[tuple[int, int]]:
    """Yield frames and keys of the onsets' peaks, the last first."""
    sounds, begins = frames[:, 0], frames[:, 1]
    if wanted.rise:
        begins = np.maximum(begins, _rise(sounds, float(begins.max())))
    before = np.pad(begins, ((1, 0), (0, 0)))[:-2]  # a recording may begin with a note
    peaks = (begins[:-1] > before) & (begins[:-1] > begins[1:]) & (begins[:-1] >= wanted.onset)
    yield from np.argwhere(peaks)[::-1].tolist()


def _rise(sounds: Keys, greatest: float) -> Keys:
    """Tell how much more sounds than in both frames before, scaled to a greatest value, (n_frames, n_keys)."""
    rise = np.zeros_like(sounds)
    if len(sounds) > _N_RISE:
        before = np.maximum(sounds[_N_RISE - 1 : -1], sounds[:-_N_RISE])
        rise[_N_RISE:] = np.maximum(sounds[_N_RISE:] - before, 0.0)
    return rise * (greatest / max(float(rise.max()), 1e-9))


def _reach(column: Keys, wanted: Thresholds) -> int:
    """How many frames from the beginning of a column a note goes on."""
    sounding = np.flatnonzero(column >= wanted.sounding)
    ends = np.flatnonzero(np.diff(sounding, prepend=-1) > wanted.n_quiet)
    n_sounding = int(ends[0]) if len(ends) else len(sounding)
    return int(sounding[n_sounding - 1]) + 1 if n_sounding else 0


def _attack(power: Keys, start: int) -> float:
    """The greatest power soon after an onset, less what was there before; not below 1e-12."""
    before = float(power[max(start - _N_BEFORE, 0)])
    return max(float(power[start : start + _N_AFTER].max()) - before, 1e-12)


def _take(left: Keys, start: int, stop: int, key: int) -> None:
    left[start:stop, max(key - 1, 0) : key + 2] = 0.0


def _descending(left: Keys, threshold: float) -> list[tuple[int, int]]:
    """Frames and keys above a threshold, the greatest first."""
    places = np.argwhere(left > threshold)
    order = np.argsort(-left[places[:, 0], places[:, 1]], kind="stable")
    found: list[tuple[int, int]] = places[order].tolist()
    return found
