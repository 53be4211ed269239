"""From frames to notes: onsets between frames, ends, and frames that come in pieces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waveforms.notes.tracking import ONSET_REACH, Tracker

FRAME = 0.02  # seconds


def played(notes: list[tuple[float, float, int, float]], n_frames: int) -> np.ndarray:
    """Make the output of a network without mistakes, (n_frames, 88, 3)."""
    frames = np.zeros((n_frames, 88, 3), np.float32)
    for onset, offset, pitch, velocity in notes:
        for frame in range(n_frames):
            height = 1 - abs((frame + 0.5) - onset / FRAME) / ONSET_REACH
            if height > frames[frame, pitch - 21, 0]:
                frames[frame, pitch - 21, :2] = height, velocity / 127
            covered = min((frame + 1) * FRAME, offset) - max(frame * FRAME, onset)
            frames[frame, pitch - 21, 2] += max(0.0, covered) / FRAME
    return frames


def tracked(frames: np.ndarray, *bounds: int) -> list[tuple[float, float, int, float]]:
    tracker = Tracker()
    notes = [note for part in np.split(frames, bounds) for note in tracker.add(part)]
    return sorted([*notes, *tracker.end()])


@given(onset=st.floats(0.06, 0.3), length=st.floats(0.1, 0.5), pitch=st.integers(21, 108), velocity=st.integers(1, 127))
def test_a_note_is_found_between_frames(onset: float, length: float, pitch: int, velocity: int) -> None:
    ((found_onset, found_offset, found_pitch, found_velocity),) = tracked(
        played([(onset, onset + length, pitch, velocity)], 50)
    )
    assert found_onset == pytest.approx(onset, abs=1e-3)
    assert found_offset == pytest.approx(onset + length, abs=0.011)
    assert found_pitch == pitch
    assert found_velocity == pytest.approx(velocity, abs=1e-3)


def test_a_key_struck_again_ends_its_note() -> None:
    notes = tracked(played([(0.1, 0.4, 60, 80), (0.4, 0.7, 60, 40)], 50))
    assert [note[3] for note in notes] == pytest.approx([80, 40], abs=0.01)
    assert notes[0][1] == notes[1][0] == pytest.approx(0.4, abs=1e-3)


def test_a_note_that_never_seems_to_sound_is_a_short_one() -> None:
    frames = played([(0.1, 0.4, 60, 80)], 50)
    frames[..., 2] = 0
    ((onset, offset, _, _),) = tracked(frames)
    assert 0.03 <= offset - onset < 0.05


def test_what_sounds_at_the_end_ends_there() -> None:
    ((_, offset, _, _),) = tracked(played([(0.1, 5.0, 60, 80)], 50))
    assert offset == pytest.approx(1.0)


@given(bounds=st.lists(st.integers(0, 50), max_size=5))
def test_frames_may_come_in_pieces(bounds: list[int]) -> None:
    frames = played([(0.11, 0.4, 60, 80), (0.13, 0.9, 64, 70), (0.4, 0.7, 60, 40), (0.8, 2.0, 30, 99)], 50)
    assert tracked(frames, *sorted(bounds)) == tracked(frames)


def test_no_frames_hold_no_notes() -> None:
    assert tracked(np.zeros((0, 88, 3), np.float32)) == []
