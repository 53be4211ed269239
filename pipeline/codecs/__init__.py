"""Codecs: fitted, invertible maps between waveform blocks and the latents that a model reads and predicts.

`base` defines the interface. A new codec is a file here, its settings and preset in `pipeline.config`, and a line in
CODECS.
"""

from collections.abc import Callable
from typing import Any

from pipeline.codecs.base import Codec, Decoder, Example, Latents
from pipeline.codecs.piano import PianoCodec
from pipeline.codecs.spectrum import Spectrum
from pipeline.config import CodecSettings, PianoSettings, SpectrumSettings

CODECS: dict[type[CodecSettings], Callable[[Any], Codec]] = {SpectrumSettings: Spectrum, PianoSettings: PianoCodec}


def make_codec(settings: CodecSettings) -> Codec:
    """Make the codec of these settings, not yet fitted."""
    return CODECS[type(settings)](settings)


__all__ = ["CODECS", "Codec", "Decoder", "Example", "Latents", "make_codec"]
