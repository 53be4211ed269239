"""How loud a clip comes out: gain policies, and float samples to integers.

A clip is measured whole and gets one gain, so its dynamics stay as they were made. No policy wraps: a sample beyond
full scale, which only `clip` lets through, is set to full scale and counted.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

PEAK_CEILING = -1.0  # dBFS: room for what a lossy encoder adds


@dataclass(frozen=True)
class GainPolicy:
    """A rule for a clip's gain.

    Attributes:
        loudness: the integrated loudness to bring the clip to, in LUFS; None leaves it.
        limit: lower the gain, if need be, so that no sample passes PEAK_CEILING.
    """

    loudness: float | None = None
    limit: bool = True

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `peak`, `clip` or a loudness in LUFS.

        >>> GainPolicy.parse("clip")
        GainPolicy(loudness=None, limit=False)
        >>> GainPolicy.parse("-23")
        GainPolicy(loudness=-23.0, limit=True)

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
        """Compute the factor for a clip of this sample peak (full scale is 1) and integrated loudness (LUFS).

        >>> GainPolicy(loudness=-20.0).gain(peak=0.05, loudness=-40.0)
        10.0
        """
        gain = 1.0
        if self.loudness is not None and math.isfinite(loudness):
            gain = 10 ** ((self.loudness - loudness) / 20)
        ceiling = 10 ** (PEAK_CEILING / 20)
        if self.limit and peak * gain > ceiling:
            gain = ceiling / peak
        return gain


def to_int16(waveform: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Round to 16 bits; samples beyond full scale are set to full scale.

    >>> to_int16(np.array([0.5, -1.5], np.float32)).tolist()
    [16384, -32768]
    """
    return np.clip(np.rint(waveform * 32768), -32768, 32767).astype(np.int16)
