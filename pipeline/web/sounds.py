"""A clip as a page holds it: samples that a browser plays, their outline and their spectrogram.

All clips are stored at one loudness, as far as their peaks allow, and the page can play them as loud as they were
rendered. If they were stored as rendered, one at -60 LUFS would be mostly the noise of 16 bits.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.image import imsave

from pipeline.pictures import DECIBELS_SHOWN, spectrogram
from pipeline.web.pages import to_base64, to_flac
from waveforms import SAMPLE_RATE
from waveforms.audio import Waveform
from waveforms.audio.gain import GainPolicy, to_int16

LOUDNESS = -23.0  # LUFS
N_OUTLINE = 600  # columns, one for every two pixels of a wide screen
N_PICTURE = 1500  # columns at most

_QUALITY = 60  # WebP's, 0 to 100: the picture is a quarter as large as without loss


@dataclass(frozen=True)
class Sound:
    """A clip that a page can play and show.

    Attributes:
        flac: the samples, multiplied by `gain`, in base64.
        seconds: its length.
        gain: the factor that brings it to LOUDNESS.
        outline: the lowest and the highest sample of each column, 127 at the peak, as int8 in base64.
        picture: the spectrogram, high pitches on top, as WebP in base64.
    """

    flac: str
    seconds: float
    gain: float
    outline: str
    picture: str

    def to_json(self) -> dict[str, Any]:
        """Return everything but the samples, for the page's data."""
        return {"seconds": self.seconds, "gain": self.gain, "outline": self.outline, "picture": self.picture}


def prepare(waveform: Waveform, loudness: float) -> Sound:
    """Prepare a waveform for a page.

    Args:
        waveform: (n_samples,).
        loudness: its integrated loudness, in LUFS; -inf for silence.
    """
    peak = float(np.max(np.abs(waveform)))
    gain = GainPolicy(LOUDNESS).gain(peak, loudness)
    flac = to_flac(to_int16(waveform * np.float32(gain)))
    return Sound(flac, len(waveform) / SAMPLE_RATE, gain, _outline(waveform, peak), _picture(waveform))


def _outline(waveform: Waveform, peak: float) -> str:
    columns = np.array_split(waveform / max(peak, 1e-6), min(N_OUTLINE, len(waveform)))
    extremes = np.array([(column.min(), column.max()) for column in columns])
    return to_base64(np.rint(127 * extremes).astype(np.int8).tobytes())


def _picture(waveform: Waveform) -> str:
    decibels = spectrogram(waveform)
    step = -(-decibels.shape[1] // N_PICTURE)
    decibels = np.maximum.reduceat(decibels, np.arange(0, decibels.shape[1], step), axis=1)
    file = io.BytesIO()
    quality = {"quality": _QUALITY}
    imsave(file, decibels, -DECIBELS_SHOWN, 0, "magma", "webp", "lower", pil_kwargs=quality)
    return to_base64(file.getvalue())
