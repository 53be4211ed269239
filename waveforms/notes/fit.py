"""Checks whether a MIDI file holds the notes of a recording, and finds its offset in time.

At an onset the bands of the key's partials rise. A file fits if they rise at its onsets, more than at other times and
more than those of other keys, but for keys that share partials with notes that begin together with it: the other tones
of a chord rise as well. This takes a small part of the time of transcribing.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from waveforms import SAMPLE_RATE
from waveforms.dsp.bands import CENTRES
from waveforms.dsp.blocks import HOP
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH, N_KEYS

FRAME_RATE = SAMPLE_RATE / HOP  # 100 frames a second
MOST_OFFSET = 1.0  # seconds that a file may be early or late
NEAR = 0.15  # seconds around an offset in which the sound still rises
JUDGED = (-2, -1, 0, 1, 2)  # frames around an offset, where keys stand out most
BEFORE, AFTER = (-4, 0), (1, 5)  # frames between which a band rises
MOST_RISE = 2.0  # nepers that count
FAINTEST = -8.0  # nepers re full scale; what lies below counts as this
N_PARTIALS = 3
N_SOUNDING = 6  # partials of notes that explain a rise
TOGETHER = 0.06  # seconds between the onsets of a chord
OTHER_KEYS = tuple(by for by in range(-12, 13) if by)  # semitones away
# The least ratios of the rise to that at other times, and to that at other keys: in all, and in each excerpt.
LEAST_OVER_TIME, LEAST_OVER_KEYS = 3.0, 1.9
LEAST_OF_PART_OVER_TIME, LEAST_OF_PART_OVER_KEYS = 1.8, 1.5
FEWEST = 6  # notes in an excerpt that is judged by itself
FEWEST_KEYS = 3  # to compare a note with

Excerpt = tuple[float, NDArray[np.float32]]  # the second at which it begins, and its bands, (n_frames, N_BANDS)


class DoesNotFitError(Exception):
    """The notes are not those of the recording; internal, `corpus.notes` names the file."""


def find_offset(notes: Notes, excerpts: Sequence[Excerpt], seconds: float) -> float:
    """Find the seconds by which a file's notes must be moved to be in time with a recording.

    Args:
        notes: the file's notes.
        excerpts: the recording's excerpts.
        seconds: the recording's length.

    Raises:
        DoesNotFitError: the notes are not those of the recording, in all of it or in one excerpt; the message says why.
    """
    last = float(notes.onsets.max())
    if last > seconds + MOST_OFFSET:
        raise DoesNotFitError(f"its last note begins at {last:.1f} s, and the recording lasts {seconds:.1f} s")
    rises = [(start, _rises(bands)) for start, bands in excerpts]
    offsets = np.arange(-MOST_OFFSET, MOST_OFFSET + 0.5 / FRAME_RATE, 1 / FRAME_RATE)
    at_offsets = np.array([_rise_at(notes.moved(seconds=offset), rises) for offset in offsets])
    offset = float(offsets[int(at_offsets.argmax())])
    nearby = [notes.moved(seconds=offset + by / FRAME_RATE) for by in JUDGED]
    moved = max(nearby, key=lambda each: float(np.subtract(*_rises_apart(each, rises))))
    other_times = [notes.moved(seconds=by) for by in offsets[np.abs(offsets - offset) > NEAR]]
    _check_whole(moved, other_times, rises)
    for part in rises:
        _check_part(moved, other_times, part)
    return offset


def _check_whole(moved: Notes, other_times: list[Notes], rises: Sequence[Excerpt]) -> None:
    """Require that the sound rises more at these notes than at others, in all excerpts together."""
    here, elsewhere = _rise_at(moved, rises), _mean_rise(other_times, rises)
    if here <= LEAST_OVER_TIME * elsewhere:
        raise DoesNotFitError(_sentence(here, elsewhere, "times"))
    others = [_rise_at(moved.moved(semitones=by), rises) for by in OTHER_KEYS]
    if here <= max(others):
        raise DoesNotFitError(_sentence(here, max(others), "keys"))
    here, elsewhere = _rises_apart(moved, rises)
    if here <= LEAST_OVER_KEYS * elsewhere:
        raise DoesNotFitError(_sentence(here, elsewhere, "keys"))


def _check_part(moved: Notes, other_times: list[Notes], part: Excerpt) -> None:
    """Require the same of one excerpt, if it has enough notes."""
    start, stop = part[0], part[0] + len(part[1]) / FRAME_RATE
    if len(moved.between(start, stop)) < FEWEST:
        return
    here, where = _rise_at(moved, [part]), f"from {start:.0f} to {stop:.0f} s "
    if here <= LEAST_OF_PART_OVER_TIME * (elsewhere := _mean_rise(other_times, [part])):
        raise DoesNotFitError(where + _sentence(here, elsewhere, "times"))
    here, elsewhere = _rises_apart(moved, [part])
    if here <= LEAST_OF_PART_OVER_KEYS * elsewhere:
        raise DoesNotFitError(where + _sentence(here, elsewhere, "keys"))


def _rises(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    """Measure how much each key's partials rise at each frame, in nepers; (n_frames, N_BANDS) -> (n_frames, N_KEYS)."""
    sums = np.cumsum(np.pad(np.maximum(bands, FAINTEST), ((1, 0), (0, 0))), axis=0, dtype=np.float64)
    frames = np.arange(len(bands))

    def mean(span: tuple[int, int]) -> NDArray[np.float64]:
        first, beyond = (np.clip(frames + edge, 0, len(bands)) for edge in span)
        means: NDArray[np.float64] = (sums[beyond] - sums[first]) / np.maximum(beyond - first, 1)[:, None]
        return means

    rise = np.clip(mean(AFTER) - mean(BEFORE), 0, MOST_RISE).astype(np.float32)
    of_keys: NDArray[np.float32] = rise @ _partials()
    return of_keys


def _rise_at(notes: Notes, rises: Sequence[Excerpt]) -> float:
    """Average the rise at the onsets and keys of the notes that lie in the excerpts; 0 if none does."""
    values = np.concatenate(list(_each_rise(notes, rises)))
    return float(values.mean()) if len(values) else 0.0


def _mean_rise(versions: Sequence[Notes], rises: Sequence[Excerpt]) -> float:
    return float(np.mean([_rise_at(notes, rises) for notes in versions]))


def _rises_apart(notes: Notes, rises: Sequence[Excerpt]) -> tuple[float, float]:
    """Average the rise at the notes' keys, and that at other keys of which no note that begins then has partials."""
    struck = notes.pitches - LOWEST_PITCH
    first = np.searchsorted(notes.onsets, notes.onsets - TOGETHER)
    beyond = np.searchsorted(notes.onsets, notes.onsets + TOGETHER, side="right")
    here, elsewhere = [0.0], [0.0]
    for start, of_keys in rises:
        frames = np.rint((notes.onsets - start) * FRAME_RATE).astype(np.int64)
        for n in np.flatnonzero((frames >= 0) & (frames < len(of_keys))):
            keys = struck[n] + np.array(OTHER_KEYS)
            keys = keys[(keys >= 0) & (keys < N_KEYS)]
            keys = keys[~_sharing()[struck[first[n] : beyond[n]]].max(axis=0)[keys]]
            if len(keys) >= FEWEST_KEYS:
                here.append(float(of_keys[frames[n], struck[n]]))
                elsewhere.append(float(of_keys[frames[n], keys].mean()))
    return float(np.mean(here)), float(np.mean(elsewhere))


def _each_rise(notes: Notes, rises: Sequence[Excerpt]) -> Iterator[NDArray[np.float32]]:
    for start, of_keys in rises:
        frames = np.rint((notes.onsets - start) * FRAME_RATE).astype(np.int64)
        inside = (frames >= 0) & (frames < len(of_keys))
        yield of_keys[frames[inside], notes.pitches[inside] - LOWEST_PITCH]


@lru_cache
def _partials(n_partials: int = N_PARTIALS) -> NDArray[np.float32]:
    """Weigh the bands nearest to each key's first partials equally, others with 0: (N_BANDS, N_KEYS)."""
    centres = np.array(CENTRES)
    weights = np.zeros((len(centres), N_KEYS), np.float32)
    for key in range(N_KEYS):
        fundamental = 440 * 2 ** ((key + LOWEST_PITCH - 69) / 12)
        for partial in range(1, n_partials + 1):
            weights[np.abs(centres - partial * fundamental).argmin(), key] += 1 / n_partials
    return weights


@lru_cache
def _sharing() -> NDArray[np.bool_]:
    """Whether a note of one key has partials in the bands of another key, (N_KEYS, N_KEYS)."""
    sharing: NDArray[np.bool_] = np.greater(_partials(N_SOUNDING).T @ _partials(), 0)
    return sharing


def _sentence(here: float, elsewhere: float, others: str) -> str:
    here, elsewhere = (nepers * 20 / np.log(10) for nepers in (here, elsewhere))
    return f"the sound rises by {here:.1f} dB where its notes begin, and by {elsewhere:.1f} dB at other {others}"
