"""Notes as data: performances (keys and pedal), the notes that sound, MIDI files, and the transcriber.

MIDI file <-> performance (keys, pedal) -> notes (onset, offset, pitch, velocity) <- transcriber <- waveform
"""

from waveforms.notes.events import Notes
from waveforms.notes.performance import HIGHEST_PITCH, LOWEST_PITCH, N_KEYS, Note, PedalSpan, Performance

__all__ = ["HIGHEST_PITCH", "LOWEST_PITCH", "N_KEYS", "Note", "Notes", "PedalSpan", "Performance"]
