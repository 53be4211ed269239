"""Notes as data: what is played (keys and pedal), when its strings sound, and MIDI files of both.

MIDI file <-> performance (keys, pedal) -> notes (key, onset, offset, velocity)
"""

from waveforms.notes.events import Notes
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH, N_KEYS, Note, PedalSpan, Performance

__all__ = ["HIGHEST_PITCH", "LOWEST_PITCH", "N_KEYS", "Note", "Notes", "PedalSpan", "Performance"]
