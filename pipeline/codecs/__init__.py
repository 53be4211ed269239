"""Codecs: fitted, invertible maps between waveform blocks and the latents that a model reads and predicts.

`base` says what each offers. A new one is a file here, its settings in `pipeline.config`, and a line below.
"""

from typing import Any

from pipeline.codecs.base import Codec, Excerpt, Player, Sound
from pipeline.codecs.piano import PianoCodec
from pipeline.codecs.spectrum import Spectrum
from pipeline.config import PianoSettings, SpectrumSettings

_OF_SETTINGS: dict[type, Any] = {SpectrumSettings: Spectrum, PianoSettings: PianoCodec}


def make_codec(settings: SpectrumSettings | PianoSettings) -> Codec:
    """The codec that these settings describe, not yet fitted."""
    codec: Codec = _OF_SETTINGS[type(settings)](settings)
    return codec


__all__ = ["Codec", "Excerpt", "Player", "Sound", "make_codec"]
