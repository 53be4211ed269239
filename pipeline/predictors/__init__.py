"""Predictors: models of the next element given the past.

`base` says what each offers. The stacked LSTM reads; a head, one file each, tells what comes next. A new head is a
file here, its settings in `pipeline.settings`, and a line below.
"""

from typing import Any

from pipeline.elements import Shape
from pipeline.predictors.base import Head, Predictor, State
from pipeline.predictors.codes import Codes
from pipeline.predictors.flow import Flow
from pipeline.predictors.lstm import StackedLSTM
from pipeline.predictors.point import Point
from pipeline.predictors.traces import n_traces
from pipeline.settings import CodesSettings, FlowSettings, PointSettings, Settings

_OF_SETTINGS: dict[type, Any] = {PointSettings: Point, FlowSettings: Flow, CodesSettings: Codes}


def make_predictor(settings: Settings, shape: Shape) -> Predictor:
    """The predictor that these settings describe, with fresh weights.

    Args:
        settings: of which those of the predictor and its head count.
        shape: of the elements.
    """
    width = settings.predictor.width + n_traces(shape.n_keys)
    head: Head = _OF_SETTINGS[type(settings.head)](settings.head, width, shape)
    return StackedLSTM(settings.predictor, shape, head)


__all__ = ["Head", "Predictor", "State", "make_predictor"]
