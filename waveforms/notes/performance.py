"""Performances: the keys and the pedal that a pianist presses, in seconds."""

from dataclasses import dataclass, replace

LOWEST_PITCH, HIGHEST_PITCH = 21, 108  # A0 and C8
N_KEYS = HIGHEST_PITCH - LOWEST_PITCH + 1  # 88
LOWEST_UNDAMPED_PITCH = 90  # from F#6 up a grand piano has no dampers


@dataclass(frozen=True, order=True, slots=True)
class Note:
    """One key pressed and released.

    Attributes:
        onset: the time at which the hammer strikes, in seconds.
        duration: the time for which the key stays down, in seconds, above 0.
        pitch: MIDI note number, 69 is A4.
        velocity: MIDI velocity, 1 to 127.
    """

    onset: float
    duration: float
    pitch: int
    velocity: int

    @property
    def release(self) -> float:
        """The time at which the key comes up, in seconds."""
        return self.onset + self.duration


@dataclass(frozen=True, order=True, slots=True)
class PedalSpan:
    """The sustaining pedal held down from `start` to `end`, in seconds."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Performance:
    """A piece as it is played.

    Attributes:
        name: the name of the piece's file, without suffix.
        notes: sorted by onset, never empty.
        pedal: sorted, disjoint spans.
    """

    name: str
    notes: tuple[Note, ...]
    pedal: tuple[PedalSpan, ...] = ()

    @property
    def seconds(self) -> float:
        """Time until the last key and the pedal are up."""
        last_pedal = self.pedal[-1].end if self.pedal else 0.0
        return max(last_pedal, max(note.release for note in self.notes))

    def beginning_within(self, seconds: float) -> "Performance":
        """Move the performance earlier, so that the first note comes at most `seconds` after the beginning."""
        shift = max(0.0, self.notes[0].onset - seconds)
        return Performance(
            self.name,
            tuple(replace(note, onset=note.onset - shift) for note in self.notes),
            tuple(PedalSpan(max(p.start - shift, 0.0), p.end - shift) for p in self.pedal if p.end > shift),
        )


def into_range(pitch: int) -> int:
    """Move a pitch by octaves onto the 88 keys.

    >>> into_range(20), into_range(60), into_range(120)
    (32, 60, 108)
    """
    while pitch < LOWEST_PITCH:
        pitch += 12
    while pitch > HIGHEST_PITCH:
        pitch -= 12
    return pitch
