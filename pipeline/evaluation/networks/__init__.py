"""Published networks, rebuilt: layers, and the weights that others trained.

musicnn and aisfx embed clips, basic-pitch hears notes; each hears its own spectrogram.
"""
