"""Notes <-> events of blocks, which the note decoder predicts.

The events of a block are its onsets in order of time and pitch, then END:

    (frame, key, velocity, length), (frame, key, velocity, length), ..., (END, 0, 0, 0)

Frames are 10 ms; velocities and lengths are classes. An onset carries the length of its note, so offsets need no
events and no note hangs.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from waveforms import SAMPLE_RATE
from waveforms.dsp.blocks import BLOCK_SIZE, FRAMES_PER_BLOCK
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH, N_KEYS

BLOCK_SECONDS = BLOCK_SIZE / SAMPLE_RATE
FRAME_SECONDS = BLOCK_SECONDS / FRAMES_PER_BLOCK  # 10 ms
END = FRAMES_PER_BLOCK  # the frame of the event that ends a block
N_FRAMES = FRAMES_PER_BLOCK + 1
N_VELOCITIES, VELOCITY_STEP = 32, 4
SHORTEST, LONGEST, N_LENGTHS = 0.03, 12.0, 48  # seconds of the first and the last class; each is 14 % longer
MOST_EVENTS = 64  # onsets in a block, 256 a second; more is not music

Event = NDArray[np.int64]  # (n_events, 4): frame, key, velocity class, length class


class EventBatch(NamedTuple):
    """Events of several sequences of blocks, right-padded.

    Attributes:
        events: (batch, n_events, 4), int64.
        block: the number of each event's block, n_blocks for padding, (batch, n_events).
        ends: the index of each block's END, (batch, n_blocks).
        sounding: seconds for which each key sounds on after the end of each block, 0 for a silent key, float32
            (batch, n_blocks, N_KEYS).
    """

    events: Tensor
    block: Tensor
    ends: Tensor
    sounding: Tensor

    @property
    def n_notes(self) -> int:
        """Onsets in all sequences together."""
        return int((self.block < self.ends.shape[1]).sum()) - self.ends.numel()

    @classmethod
    def of(cls, sequences: Sequence[tuple[list[Event], NDArray[np.float32]]]) -> "EventBatch":
        """Collate what `encode` returns for sequences of one length."""
        n_blocks = len(sequences[0][0])
        counts = np.array([[len(block) for block in blocks] for blocks, _ in sequences])
        longest = int(counts.sum(1).max())
        events = np.zeros((len(sequences), longest, 4), np.int64)
        block = np.full((len(sequences), longest), n_blocks, np.int64)
        for row, (blocks, _) in enumerate(sequences):
            flat = np.concatenate(blocks)
            events[row, : len(flat)] = flat
            block[row, : len(flat)] = np.repeat(np.arange(n_blocks), counts[row])
        sounding = np.stack([of_row for _, of_row in sequences])
        ends = counts.cumsum(1) - 1
        return cls(*map(torch.from_numpy, (events, block, ends, sounding)))

    def to(self, device: torch.device) -> "EventBatch":
        """Move it to a device."""
        return EventBatch(*(tensor.to(device) for tensor in self))


def encode(notes: Notes, first: int, n_blocks: int) -> tuple[list[Event], NDArray[np.float32]]:
    """Encode the notes of blocks from block `first` on. The inverse is `decode`.

    Keep the first MOST_EVENTS onsets of a block, and the first of two onsets of one key in a frame.

    Returns:
        for each block its events, END included; seconds for which each key sounds on, (n_blocks, N_KEYS).
    """
    frames = np.floor(notes.onsets / FRAME_SECONDS + 1e-6).astype(np.int64)
    keys = notes.pitches - LOWEST_PITCH
    velocities = np.clip(notes.velocities // VELOCITY_STEP, 0, N_VELOCITIES - 1).astype(np.int64)
    table = np.stack(
        [frames - first * FRAMES_PER_BLOCK, keys, velocities, _length_class(notes.offsets - notes.onsets)], axis=1
    )
    table = table[(table[:, 0] >= 0) & (table[:, 0] < n_blocks * FRAMES_PER_BLOCK)]
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    if len(table):
        again = (np.diff(table[:, 0], prepend=-1) == 0) & (np.diff(table[:, 1], prepend=-1) == 0)
        table = table[~again]
    of_block = table[:, 0] // FRAMES_PER_BLOCK
    table[:, 0] %= FRAMES_PER_BLOCK
    bounds = np.searchsorted(of_block, np.arange(n_blocks + 1))
    end = np.array([[END, 0, 0, 0]])
    blocks = [np.concatenate([table[at : min(beyond, at + MOST_EVENTS)], end]) for at, beyond in pairwise(bounds)]
    return blocks, _sounding(notes, first, n_blocks)


def decode(events: Event, block: int) -> list[tuple[float, float, int, float]]:
    """Decode a block's events to (onset, offset, pitch, velocity), with onsets in the middle of their frames.

    Shape:
        (n_events, 4) -> n_notes
    """
    notes = []
    for frame, key, velocity, length in events.tolist():
        if frame != END:
            onset = block * BLOCK_SECONDS + (frame + 0.5) * FRAME_SECONDS
            seconds = SHORTEST * (LONGEST / SHORTEST) ** (length / (N_LENGTHS - 1))
            notes.append((onset, onset + seconds, key + LOWEST_PITCH, velocity * VELOCITY_STEP + VELOCITY_STEP / 2))
    return notes


def _length_class(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    steps = np.log(np.maximum(seconds, 1e-3) / SHORTEST) / np.log(LONGEST / SHORTEST) * (N_LENGTHS - 1)
    classes: NDArray[np.int64] = np.clip(np.rint(steps), 0, N_LENGTHS - 1).astype(np.int64)
    return classes


def _sounding(notes: Notes, first: int, n_blocks: int) -> NDArray[np.float32]:
    """Return the seconds for which each key sounds on after the end of each block, (n_blocks, N_KEYS)."""
    left = np.zeros((n_blocks, N_KEYS), np.float32)
    begin = (
        np.ceil(notes.onsets / BLOCK_SECONDS + 1e-9).astype(np.int64) - 1 - first
    )  # the first block whose end lies in the note
    end = np.floor(notes.offsets / BLOCK_SECONDS).astype(np.int64) - first
    for note in np.flatnonzero((end > 0) & (begin < n_blocks)):
        blocks = np.arange(max(begin[note], 0), min(end[note], n_blocks))
        ends = (blocks + first + 1) * BLOCK_SECONDS
        left[blocks, notes.pitches[note] - LOWEST_PITCH] = notes.offsets[note] - ends
    return left
