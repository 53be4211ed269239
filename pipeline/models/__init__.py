"""Models of the next block given the past.

`base` says what each offers. The stacked LSTM reads; heads, one file each, turn its state into what comes next. A new
model, or a new head, is a file here, its settings in `pipeline.config`, and a line below.
"""

from functools import partial
from typing import Any

from pipeline.codecs import Codec
from pipeline.config import CodesSettings, FlowSettings, LSTMSettings, Settings
from pipeline.models.base import Block, Head, HeadMaker, Latents, Losses, Model, State
from pipeline.models.classic import Classic
from pipeline.models.heads.codes import Codes
from pipeline.models.heads.flow import Flow
from pipeline.models.notes_first import NotesFirst

_HEADS: dict[type, Any] = {FlowSettings: Flow, CodesSettings: Codes}


def make_model(settings: Settings, codec: Codec) -> Model:
    """The model that these settings describe, with fresh weights.

    Args:
        settings: of which those of the model and its head count.
        codec: whose latents it reads.
    """
    if isinstance(settings.model, LSTMSettings):
        return Classic(settings.model, codec)
    make_head: HeadMaker = partial(_HEADS[type(settings.head)], settings.head)
    return NotesFirst(settings.model, make_head, codec)


__all__ = ["Block", "Head", "Latents", "Losses", "Model", "State", "make_model"]
