"""Sound and notes as data: audio files, signal processing, notes, corpora and a sampled piano.

Imports nothing of `pipeline`. Its one network, which transcribes recordings, is learned by `tools` and only run here.
"""

SAMPLE_RATE = 44_100
