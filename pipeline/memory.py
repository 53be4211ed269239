"""Memory that is freed and taken again at every step, or for every block, should not go back to the system in between.

Every fresh page costs a fault and is zeroed; a training step takes and frees some gigabytes in large pieces, which
glibc returns at once. Kept, a step took a third less time, and 32 clips at once were rendered more than twice as fast
when this was measured, with another model (docs/experiments.md, sections 10 and 13).
"""

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of malloc.h


def keep_freed_memory() -> None:
    """Tell glibc to keep what is freed for this process; elsewhere nothing happens."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)  # never
    mallopt(_TOP_PAD, 2**28)
