"""The grid of time: blocks, which models step by, and the frames that divide them.

Imports no library, so that a program that only prints its help need not wait for one.
"""

from waveforms import SAMPLE_RATE

FRAMES_PER_BLOCK = 25
BLOCK_SIZE = SAMPLE_RATE // 4  # 11025 samples, 0.25 s
HOP = BLOCK_SIZE // FRAMES_PER_BLOCK  # 441 samples, 10 ms
