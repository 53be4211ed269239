"""Representations: fitted, invertible maps between waveform blocks and the elements that a predictor reads.

One file each; `base` says what each offers. A new one is a file here, its settings in `pipeline.settings`, and a
line below.
"""

from typing import Any

from pipeline.representations.base import Decoder, Representation
from pipeline.representations.spectrum import Spectrum
from pipeline.representations.tiles import Tiles
from pipeline.settings import SpectrumSettings, TileSettings

_OF_SETTINGS: dict[type, Any] = {SpectrumSettings: Spectrum, TileSettings: Tiles}


def make_representation(settings: SpectrumSettings | TileSettings) -> Representation:
    """The representation that these settings describe, not yet fitted."""
    representation: Representation = _OF_SETTINGS[type(settings)](settings)
    return representation


__all__ = ["Decoder", "Representation", "make_representation"]
