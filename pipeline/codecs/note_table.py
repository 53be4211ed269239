"""The notes of a batch as tensors, and where each sounds: which key, at which age, in which frame."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import FRAMES_PER_BLOCK, HOP
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH, LOWEST_UNDAMPED_PITCH

FRAME_RATE = SAMPLE_RATE / HOP  # 100 STFT frames a second
# Frames after the onset at which the dictionary holds spectra; it interpolates between them. A window of the STFT
# begins 2 frames before its own frame.
AGES = tuple(range(-3, 12)) + tuple(round(12 * (900 / 12) ** (n / 21)) for n in range(22))
N_AGES = len(AGES)  # 37
RELEASED = 150  # frames that a note sounds on after its damper falls
RESTRIKE_RATE = 2.3  # nepers of power a frame: a hammer takes 60 dB off its own string in 60 ms


class NoteExcerpt(NamedTuple):
    """The notes of one recording in a sequence.

    Attributes:
        notes: at the recording's own times.
        row: the number of the sequence.
        seconds: where in the sequence the recording begins; below 0 where it began before the sequence.
        silenced: where in the sequence it ends, if another recording follows.
    """

    notes: Notes
    row: int = 0
    seconds: float = 0.0
    silenced: float = math.inf


@dataclass(frozen=True)
class NoteTable:
    """The notes of several sequences, in frames from the sequences' beginnings.

    Attributes:
        row: the number of the sequence, int64 (n_notes,).
        key: 0 to 87, int64 (n_notes,).
        onset: float32 (n_notes,), below zero where the note began before the sequence.
        offset: when its damper falls, float32 (n_notes,).
        restrike: the next onset of the same key, inf where there is none, float32 (n_notes,).
        velocity: float32 (n_notes,).
        silenced: when its recording ends, inf where none follows, float32 (n_notes,).
    """

    row: Tensor
    key: Tensor
    onset: Tensor
    offset: Tensor
    restrike: Tensor
    velocity: Tensor
    silenced: Tensor

    @classmethod
    def of(cls, excerpts: Sequence[NoteExcerpt]) -> "NoteTable":
        """Gather the notes of excerpts."""

        def gathered(column: Callable[[NoteExcerpt], NDArray[Any]], dtype: torch.dtype) -> Tensor:
            return torch.from_numpy(np.concatenate([*map(column, excerpts), np.zeros(0)])).to(dtype)

        return cls(
            gathered(lambda e: np.full(len(e.notes), e.row), torch.int64),
            gathered(lambda e: e.notes.pitches - LOWEST_PITCH, torch.int64),
            gathered(lambda e: (e.notes.onsets + e.seconds) * FRAME_RATE, torch.float32),
            gathered(lambda e: (e.notes.offsets + e.seconds) * FRAME_RATE, torch.float32),
            gathered(lambda e: (_restrikes(e.notes) + e.seconds) * FRAME_RATE, torch.float32),
            gathered(lambda e: e.notes.velocities, torch.float32),
            gathered(lambda e: np.full(len(e.notes), e.silenced * FRAME_RATE), torch.float32),
        )

    def to(self, device: torch.device) -> "NoteTable":
        """Move it to a device."""
        return NoteTable(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class Activations:
    """The activations of the dictionary's rows: one entry for each note, frame and neighbouring age.

    Attributes:
        frame: row * n_frames + frame, int64 (n,).
        entry: key * N_AGES + age, int64 (n,).
        share: weight of the interpolation between ages, float32 (n,).
        note: the note's index in the table, int64 (n,).
        released: frames since the note ended, 0 before, float32 (n,).
        restruck: whether the hammer ended it, and not the damper, bool (n,).
    """

    frame: Tensor
    entry: Tensor
    share: Tensor
    note: Tensor
    released: Tensor
    restruck: Tensor


def activations(notes: NoteTable, n_frames: int, *, causal: bool = False) -> Activations:
    """Find where notes sound within the first `n_frames` of their sequences. Frame t is centred on t + 1/2.

    A note sounds up to three frames before its onset, since the STFT's windows reach beyond their frames. A `causal`
    note never sounds in the block before its onset: a roll-out does not know the notes of the next block.
    """
    undamped = notes.key >= LOWEST_UNDAMPED_PITCH - LOWEST_PITCH
    damped_at = torch.where(undamped, torch.inf, notes.offset)
    restruck = notes.restrike <= damped_at
    end = torch.minimum(notes.restrike, damped_at)
    last = torch.where(restruck, end + 13.8 / RESTRIKE_RATE, end + RELEASED)  # it is silent from here on
    last = torch.minimum(torch.minimum(last, notes.onset + AGES[-1]), notes.silenced)
    first_frame = (notes.onset - 0.5 + AGES[0]).ceil()
    if causal:
        first_frame = torch.maximum(first_frame, (notes.onset / FRAMES_PER_BLOCK).floor() * FRAMES_PER_BLOCK)
    first_frame = first_frame.clamp(min=0).long()
    n_each = (last.ceil().clamp(max=n_frames).long() - first_frame).clamp(min=0)
    note = torch.repeat_interleave(torch.arange(len(n_each), device=n_each.device), n_each)
    within = torch.arange(len(note), device=note.device) - (n_each.cumsum(0) - n_each)[note]
    frame = first_frame[note] + within
    ages = torch.tensor(AGES, dtype=torch.float32, device=note.device)
    age = (frame - (notes.onset[note] - 0.5)).clamp(ages[0], ages[-1])
    below = (torch.searchsorted(ages, age, right=True) - 1).clamp(0, N_AGES - 2)
    share = (age - ages[below]) / (ages[below + 1] - ages[below])
    entry = notes.key[note] * N_AGES + below
    released = (frame + 0.5 - end[note]).clamp(min=0)
    at = notes.row[note] * n_frames + frame
    return Activations(
        torch.cat([at, at]),
        torch.cat([entry, entry + 1]),
        torch.cat([1 - share, share]),
        torch.cat([note, note]),
        torch.cat([released, released]),
        torch.cat([restruck[note], restruck[note]]),
    )


class ActivationsByFrame:
    """The activations of an excerpt in the order of its frames, from which chunks are cut out."""

    def __init__(self, active: Activations, n_frames: int) -> None:
        order, self._bags = frame_bags(active.frame, n_frames + 1)
        self.active = Activations(*(getattr(active, f.name)[order] for f in fields(active)))

    def between(self, first: int, beyond: int) -> Activations:
        """Return those of frames `first` to `beyond`; frames count from `first`."""
        part = slice(int(self._bags[first]), int(self._bags[beyond]))
        chunk = Activations(*(getattr(self.active, f.name)[part] for f in fields(self.active)))
        return replace(chunk, frame=chunk.frame - first)


def frame_bags(frame: Tensor, n_frames: int) -> tuple[Tensor, Tensor]:
    """Sort entries by frame: return their order, and the index in it at which each frame begins."""
    ordered, order = frame.sort(stable=True)
    return order, torch.searchsorted(ordered, torch.arange(n_frames, device=frame.device))


def _restrikes(notes: Notes) -> NDArray[np.float64]:
    """Return the next onset of each note's key, in seconds; inf where there is none."""
    following: dict[int, float] = {}
    times = []
    for onset, pitch in zip(notes.onsets[::-1], notes.pitches[::-1], strict=True):
        times.append(following.get(int(pitch), np.inf))
        following[int(pitch)] = float(onset)
    return np.array(times[::-1], np.float64)
