"""The demo corpus: real piano, played by rule from scores or from a user's own MIDI files.

    score (musicxml) -> performer -> performance -> render -> recording
    MIDI file (midi) ---------------^                ^
    the recorded Steinway -> hammer (touches) -------+--- room

`make_corpus` and `render_midi` are all that the rest of the program needs. Everything is deterministic.
"""

from waveforms.piano.studio import PROVENANCE, Progress, make_corpus, render_midi

__all__ = ["PROVENANCE", "Progress", "make_corpus", "render_midi"]
