"""Predictors: models of the next element given the past.

One file each; `base` says what each offers. A new one is a file here, its settings in `pipeline.settings`, and a
line below.
"""

from pipeline.predictors.base import Predictor, State
from pipeline.predictors.lstm import StackedLSTM
from pipeline.settings import LSTMSettings

_OF_SETTINGS = {LSTMSettings: StackedLSTM}


def make_predictor(settings: LSTMSettings, dim: int) -> Predictor:
    """The predictor that these settings describe, for elements of `dim` numbers, with fresh weights."""
    return _OF_SETTINGS[type(settings)](settings, dim)


__all__ = ["Predictor", "State", "make_predictor"]
