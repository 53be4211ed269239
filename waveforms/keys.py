"""Which keys of a piano are struck, heard from bands of log magnitude.

A small network listens to a slice of 50 ms with the slice before and the slice after it. It was taught by the sampled
piano, all of whose notes are known: `tools/teach_listener.py` does so, and `keys.md` tells how well it hears.
"""

import math
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from waveforms.bands import N_BANDS
from waveforms.spectra import HOP

WEIGHTS = Path(__file__).with_name("keys.safetensors")
FRAMES_PER_SLICE = 5
SLICE_SAMPLES = FRAMES_PER_SLICE * HOP  # 2205, 50 ms
N_KEYS, LOWEST_KEY = 88, 21  # MIDI note number of the first, A0
CONTEXT = 3  # slices listened to: the one before, its own, the one after
DEEPEST = 8.0  # nepers, 69 dB, below the loudest band: the listener hears nothing fainter
LIKELY = 0.4  # from this probability on a key counts as struck: about as many are then as truly were
WIDTH = 384


class Listener(nn.Module):
    """Bands of a slice and its neighbours -> how likely each key is struck in it, as a logit.

    Levels count from the loudest band, so nothing depends on how loud a recording is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(CONTEXT * FRAMES_PER_SLICE * N_BANDS, WIDTH)
        self.deep = nn.Linear(WIDTH, WIDTH)
        self.leave = nn.Linear(WIDTH, N_KEYS)
        self.dropout = nn.Dropout(0.1)

    def forward(self, around: Tensor) -> Tensor:
        """(..., CONTEXT * FRAMES_PER_SLICE, N_BANDS), in nepers -> (..., N_KEYS)."""
        levels = around - around.amax((-1, -2), keepdim=True)
        x = F.relu(self.enter((levels.clamp(min=-DEEPEST) / 2 + 1).flatten(-2)))
        x = x + F.relu(self.deep(self.dropout(x)))
        logits: Tensor = self.leave(self.dropout(x))
        return logits


def hear_keys(bands: Tensor) -> Tensor:
    """Which keys are struck in each slice but the first and the last: 1 where one is, 0 elsewhere.

    Shape:
        (..., n_slices + 2, FRAMES_PER_SLICE, N_BANDS) -> (..., n_slices, N_KEYS)
    """
    struck: Tensor = _listener(bands.device)(with_neighbours(bands)) > math.log(LIKELY / (1 - LIKELY))
    return struck.float()


def with_neighbours(bands: Tensor) -> Tensor:
    """Each slice but the first and the last between its neighbours.

    Shape:
        (..., n_slices + 2, FRAMES_PER_SLICE, N_BANDS) -> (..., n_slices, CONTEXT * FRAMES_PER_SLICE, N_BANDS)
    """
    return bands.flatten(-3, -2).unfold(-2, CONTEXT * FRAMES_PER_SLICE, FRAMES_PER_SLICE).transpose(-1, -2)


@lru_cache
def _listener(device: torch.device) -> Listener:
    listener = Listener()
    listener.load_state_dict({name: weight.float() for name, weight in load_file(WEIGHTS).items()})
    return listener.to(device).eval().requires_grad_(False)
