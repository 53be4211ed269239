"""How loud a clip comes out: the policies, and float samples to integers.

A clip is measured whole and then turned by one gain, so its dynamics stay as they were made. No policy wraps: a
sample beyond full scale, which only `clip` lets through, is set to full scale and counted.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

PEAK_CEILING = -1.0  # dBFS: room for what a lossy encoder adds


@dataclass(frozen=True)
class Level:
    """A policy.

    Attributes:
        loudness: bring the clip to this integrated loudness in LUFS; None leaves it.
        limit: turn the clip down, if need be, so that no sample passes PEAK_CEILING.
    """

    loudness: float | None = None
    limit: bool = True

    @classmethod
    def parse(cls, text: str) -> "Level":
        """Read `peak`, `clip` or a loudness in LUFS.

        Raises:
            ValueError: it is none of them.
        """
        if text in ("peak", "clip"):
            return cls(limit=text == "peak")
        loudness = float(text)
        if not -70 < loudness < 0:
            raise ValueError(f"a loudness must lie between -70 and 0 LUFS and not be {text}")
        return cls(loudness)

    def gain(self, peak: float, loudness: float) -> float:
        """The factor for a clip of this sample peak (full scale is 1) and integrated loudness (LUFS)."""
        gain = 1.0
        if self.loudness is not None and math.isfinite(loudness):
            gain = 10 ** ((self.loudness - loudness) / 20)
        ceiling = 10 ** (PEAK_CEILING / 20)
        if self.limit and peak * gain > ceiling:
            gain = ceiling / peak
        return gain


def to_int16(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round to 16 bits; what lies beyond full scale is set to full scale."""
    return np.clip(np.rint(waveform * 32768), -32768, 32767).astype(np.int16)
