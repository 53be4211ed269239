"""One-minute recordings, as in the ancestor's headline; their sound does not matter here."""

from pathlib import Path

import numpy as np
import soundfile

from waveforms import SAMPLE_RATE

SECONDS = 60


def make_recordings(folder: Path, n_recordings: int) -> list[Path]:
    """White noise, 16 bits."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{n:02d}.wav" for n in range(n_recordings)]
    for path in paths:
        soundfile.write(path, 0.1 * rng.standard_normal(SECONDS * SAMPLE_RATE), SAMPLE_RATE, subtype="PCM_16")
    return paths
