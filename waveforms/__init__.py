"""Sound and notes as data. Imports nothing of `pipeline`."""

SAMPLE_RATE = 44_100
BLOCK_SIZE = SAMPLE_RATE // 4  # 11025 samples, 0.25 s


def n_blocks_of(n_samples: int) -> int:
    """How many blocks hold `n_samples`: the last block is completed with zeros, so no sample is lost."""
    return -(-n_samples // BLOCK_SIZE)
