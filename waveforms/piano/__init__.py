"""The demo corpus: a sampled piano plays scores by rule, or a user's own MIDI files.

    score (musicxml) -> performer -> performance -> render -> recording
    MIDI file (midi) ---------------^                ^
    the recorded Steinway -> hammer (touches) -------+--- room

The rest of the program needs only `make_corpus` and `render_midi`. Everything is deterministic.
"""

from waveforms.piano.studio import PROVENANCE, Progress, make_corpus, render_midi

__all__ = ["PROVENANCE", "Progress", "make_corpus", "render_midi"]
