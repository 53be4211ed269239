"""Sound as numbers. Imports nothing of `pipeline` and defines no network."""

SAMPLE_RATE = 44_100
BLOCK_SIZE = SAMPLE_RATE // 4  # 11025 samples, 0.25 s
