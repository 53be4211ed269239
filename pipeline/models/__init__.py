"""Models of the next block given the previous ones.

`base` defines the interface. A new model is a file here, its settings and preset in `pipeline.config`, and a line in
MODELS; a new head, likewise, a line in HEADS.
"""

from collections.abc import Callable
from typing import Any

from pipeline.codecs import Codec
from pipeline.config import (
    CodesSettings,
    FlowSettings,
    HeadSettings,
    LSTMSettings,
    ModelSettings,
    NotesFirstSettings,
    Settings,
)
from pipeline.models.base import Block, Blocks, Head, HeadMaker, Losses, Model
from pipeline.models.classic import Classic
from pipeline.models.heads.codes import Codes
from pipeline.models.heads.flow import Flow
from pipeline.models.notes_first import NotesFirst

HEADS: dict[type[HeadSettings], Callable[..., Head]] = {FlowSettings: Flow, CodesSettings: Codes}
# Each is called with the settings of the model, the codec whose latents it reads, and what makes its head.
MODELS: dict[type[ModelSettings], Callable[[Any, Codec, HeadMaker], Model[Any]]] = {
    LSTMSettings: Classic,
    NotesFirstSettings: NotesFirst,
}


def make_model(settings: Settings, codec: Codec) -> Model[Any]:
    """Make the model of these settings, with fresh weights, for the latents of a codec."""

    def make_head(conditioning: int, dims: int) -> Head:
        return HEADS[type(settings.head)](settings.head, conditioning, dims)

    return MODELS[type(settings.model)](settings.model, codec, make_head)


__all__ = ["HEADS", "MODELS", "Block", "Blocks", "Head", "Losses", "Model", "make_model"]
