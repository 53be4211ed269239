"""Notes <-> events, against tolerances that follow from frames and classes, and what sounds, against brute force."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codecs.events import (
    BLOCK_SECONDS,
    END,
    LONGEST,
    MOST_EVENTS,
    N_LENGTHS,
    SHORTEST,
    EventBatch,
    decode,
    encode,
)
from waveforms.notes.events import Notes

N_BLOCKS = 6
FRAME = 0.01  # seconds
RATIO = (LONGEST / SHORTEST) ** (0.5 / (N_LENGTHS - 1))  # from a length to the border of its class


@st.composite
def some_notes(choose: Callable[..., Any], least: float = 0.0) -> Notes:
    """Up to forty notes over N_BLOCKS blocks and a little more."""
    rows = choose(
        st.lists(
            st.tuples(
                st.floats(least, N_BLOCKS * BLOCK_SECONDS + 0.2),
                st.floats(0.03, 8.0),
                st.integers(21, 108),
                st.integers(1, 127),
            ),
            max_size=40,
        )
    )
    return Notes.of((onset, onset + length, pitch, float(velocity)) for onset, length, pitch, velocity in rows)


def decoded(notes: Notes, first: int = 0, n_blocks: int = N_BLOCKS) -> list[tuple[float, float, int, float]]:
    blocks, _ = encode(notes, first, n_blocks)
    return [note for n, block in enumerate(blocks, start=first) for note in decode(block, n)]


@given(notes=some_notes(), first=st.integers(0, 2))
def test_notes_come_back_within_half_a_frame_a_step_and_a_class(notes: Notes, first: int) -> None:
    """Onsets to 5 ms, velocities to half of 4 steps, lengths to 7 %; of two of a key in a frame the first."""
    frames = np.floor(notes.onsets / FRAME + 1e-6).astype(int)
    inside = (frames >= 25 * first) & (frames < 25 * N_BLOCKS)
    wanted = {}
    for n in np.flatnonzero(inside)[::-1]:
        wanted[frames[n], notes.pitches[n]] = n
    found = decoded(notes, first, N_BLOCKS - first)
    assert len(found) == len(wanted)
    for onset, offset, pitch, velocity in found:
        n = wanted[int(onset / FRAME), pitch]
        assert abs(onset - notes.onsets[n]) <= FRAME / 2 + 1e-7
        assert abs(velocity - notes.velocities[n]) <= 2
        length = np.clip(notes.offsets[n] - notes.onsets[n], SHORTEST, LONGEST)
        assert 1 / RATIO - 1e-6 <= (offset - onset) / length <= RATIO + 1e-6


@given(notes=some_notes())
def test_what_was_decoded_is_encoded_the_same(notes: Notes) -> None:
    blocks, _ = encode(notes, 0, N_BLOCKS)
    again = Notes.of_table(np.array(decoded(notes)).reshape(-1, 4))
    for one, other in zip(blocks, encode(again, 0, N_BLOCKS)[0], strict=True):
        np.testing.assert_array_equal(one, other)


@given(notes=some_notes())
def test_events_ascend_and_each_block_ends(notes: Notes) -> None:
    blocks, _ = encode(notes, 0, N_BLOCKS)
    assert len(blocks) == N_BLOCKS
    for block in blocks:
        *events, end = block.tolist()
        assert end == [END, 0, 0, 0]
        places = [(frame, key) for frame, key, _, _ in events]
        assert places == sorted(set(places))
        assert all(0 <= frame < END and 0 <= key < 88 for frame, key in places)


@given(notes=some_notes(least=-3.0), first=st.integers(0, 3))
def test_what_sounds_when_a_block_ends_is_what_began_before_and_ends_later(notes: Notes, first: int) -> None:
    _, sounding = encode(notes, first, N_BLOCKS)
    expected = np.zeros((N_BLOCKS, 88))
    for block in range(N_BLOCKS):
        end = (first + block + 1) * BLOCK_SECONDS
        for onset, offset, pitch, _ in notes.table.tolist():
            if onset < end < offset:
                expected[block, int(pitch) - 21] = offset - end
    np.testing.assert_allclose(sounding, expected, atol=1e-5)


@pytest.mark.parametrize(("seconds", "frame", "block"), [(0.25, 0, 1), (0.2499999999, 0, 1), (0.249, 24, 0)])
def test_an_onset_on_the_border_of_a_block_is_the_later_blocks(seconds: float, frame: int, block: int) -> None:
    blocks, _ = encode(Notes.of([(seconds, 1.0, 60, 64)]), 0, 2)
    assert [len(each) for each in blocks] == [1 + (block == n) for n in range(2)]
    assert blocks[block][0, :2].tolist() == [frame, 39]


def test_of_more_than_music_has_the_first_are_kept() -> None:
    notes = Notes.of((0.02 * (n // 20), 2.0, 30 + n % 20 + 20 * (n // 20 % 2), 64) for n in range(100))
    assert len(notes) == 100
    block = encode(notes, 0, 1)[0][0]
    assert len(block) == MOST_EVENTS + 1
    assert block[:-1, 0].tolist() == [2 * (n // 20) for n in range(MOST_EVENTS)]


@pytest.mark.parametrize(("seconds", "length"), [(0.001, 0), (0.03, 0), (12.0, N_LENGTHS - 1), (60.0, N_LENGTHS - 1)])
def test_lengths_beyond_the_classes_are_the_outermost(seconds: float, length: int) -> None:
    assert encode(Notes.of([(0.0, seconds, 60, 64)]), 0, 1)[0][0][0, 3] == length


def test_a_batch_holds_rows_of_any_number_of_events() -> None:
    rows = [Notes.of([(0.0, 1.0, 60, 64), (0.3, 1.0, 62, 64)]), Notes.of([]), Notes.of([(0.6, 1.0, 64, 64)])]
    batch = EventBatch.of([encode(notes, 0, 3) for notes in rows])
    assert batch.n_notes == 3
    assert batch.events.shape == (3, 5, 4)
    assert batch.block.tolist() == [[0, 0, 1, 1, 2], [0, 1, 2, 3, 3], [0, 1, 2, 2, 3]]
    assert batch.ends.tolist() == [[1, 3, 4], [0, 1, 2], [0, 1, 3]]
    assert (batch.events.gather(1, batch.ends[..., None].expand(-1, -1, 4))[..., 0] == END).all()
    assert batch.sounding.dtype == torch.float32
    assert batch.sounding[0, 0, 39] == pytest.approx(0.75)
