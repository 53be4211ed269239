"""Instruments whose sound is known."""

import math

import torch
from torch import Tensor

from pipeline.codecs.instrument import Instrument
from pipeline.codecs.note_table import AGES, N_AGES
from waveforms.dsp.bands import CENTRES, N_BANDS

SUSTAINED = -2.0  # log power


def instrument(table: Tensor | float = SUSTAINED, floor: float = -25.0, *, release: float = 1.5) -> Instrument:
    """All keys alike, unless a table is given; no tail."""
    made = Instrument()
    made.table.copy_(torch.as_tensor(table).expand(88 * N_AGES, N_BANDS))
    made.floor.fill_(floor)
    made.release.fill_(release)
    made.tail.fill_(-30.0)
    return made


def string(pitch: int, brightness: float = 1.0) -> Tensor:
    """Log power of six partials over the bands, (N_BANDS,)."""
    fundamental = 440 * 2 ** ((pitch - 69) / 12)
    place = torch.tensor(CENTRES).clamp(min=10).log2()
    row = torch.full((N_BANDS,), math.exp(-12.0))
    for partial in range(1, 7):
        near = torch.exp(-((place - math.log2(partial * fundamental)) / 0.06).square() / 2)
        row += near * math.exp(-1.0 - brightness * partial)
    return row.log()


def planted() -> Instrument:
    """Strings that decay by 3 nepers of power a second."""
    made = instrument(floor=-14.0)
    ages = torch.tensor(AGES, dtype=torch.float32).clamp(min=0)
    struck = torch.tensor(AGES) >= 0
    for key in range(88):
        rows = string(key + 21) - 0.03 * ages[:, None]
        made.table.view(88, N_AGES, N_BANDS)[key] = torch.where(struck[:, None], rows, -14.0)
    return made
