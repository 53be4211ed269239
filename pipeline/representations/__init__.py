"""Representations: fitted, invertible maps between waveform blocks and the elements that a predictor reads.

One file each; `base` says what each offers. A new one is a file here, its settings in `pipeline.settings`, and a
line below.
"""

from pipeline.representations.base import Decoder, Representation
from pipeline.representations.spectrum import Spectrum
from pipeline.settings import SpectrumSettings

_OF_SETTINGS = {SpectrumSettings: Spectrum}


def make_representation(settings: SpectrumSettings) -> Representation:
    """The representation that these settings describe, not yet fitted."""
    return _OF_SETTINGS[type(settings)](settings)


__all__ = ["Decoder", "Representation", "make_representation"]
