"""The ancestor's model: dense -> LSTM layers -> one best guess of the next block. It knows no chance."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.codecs.base import Codec, Player, Sound
from pipeline.config import LSTMSettings, Sampling
from pipeline.models.backends.lstm import LSTM, open_forget_gates
from pipeline.models.base import Block, Latents, Losses, Model, Part
from waveforms.notes.events import Notes


class ClassicState(NamedTuple):
    """What is carried from block to block."""

    hidden: Tensor  # (n_rows, layers, width)
    cell: Tensor
    context: Tensor  # (n_rows, width): the top layer after the last block


class Classic(Model):
    """Regression of the next block's latent; mean absolute or squared error.

    The last layer's weights start at zero, so an untrained model predicts the mean: training starts at a skill of 0 %.
    """

    sampled_by = ()

    def __init__(self, settings: LSTMSettings, codec: Codec) -> None:
        super().__init__()
        width, layers = settings.width, settings.layers
        self.settings = settings
        self.n_slices, self.dims = codec.n_slices, codec.dims
        self.dense = nn.Linear(self.n_slices * self.dims, width)
        self.lstm = LSTM(width, width, layers, dropout=settings.dropout if layers > 1 else 0.0)
        self.leave = nn.Linear(width, self.n_slices * self.dims)
        self.error = {"absolute": F.l1_loss, "squared": F.mse_loss}[settings.error]
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        open_forget_gates(self.lstm)

    def fit(self, latents: Iterable[Latents]) -> None:
        """Nothing."""

    def start(self, n_rows: int) -> ClassicState:
        """See `Model.start`."""
        zeros, width = self.dense.bias.new_zeros, self.settings.width
        hidden, cell = zeros(2, n_rows, self.settings.layers, width)
        return ClassicState(hidden, cell, zeros(n_rows, width))

    def loss(self, latents: Latents, state: ClassicState) -> tuple[Losses, ClassicState]:
        """See `Model.loss`."""
        outputs, after = self._read(latents.sound, state)
        context = torch.cat([state.context[:, None], outputs[:, :-1]], dim=1)
        targets = latents.sound.latent.flatten(2)
        return _losses(self.error(self.leave(context), targets), targets), after

    def baselines(self, latents: Latents) -> dict[str, Losses]:
        """See `Model.baselines`. A latent has a mean of zero, which is what the first block repeats."""
        targets = latents.sound.latent.flatten(2)
        before = F.pad(targets[:, :-1], (0, 0, 1, 0))
        return {
            "mean": _losses(self.error(torch.zeros_like(targets), targets), targets),
            "repeat": _losses(self.error(before, targets), targets),
        }

    def prime(self, latents: Latents) -> ClassicState:
        """See `Model.prime`."""
        return self._read(latents.sound, self.start(latents.n_rows))[1]

    def step(
        self,
        state: ClassicState,
        player: Player,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, ClassicState]:
        """The best guess; there is nothing to sample."""
        sound = Sound(self.leave(state.context).view(-1, 1, self.n_slices, self.dims))
        return Block(sound, [Notes.of([])] * len(sound.latent)), self._read(sound, state)[1]

    def _read(self, sound: Sound, state: ClassicState) -> tuple[Tensor, ClassicState]:
        before = (state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous())
        outputs, (hidden, cell) = self.lstm(self.dense(sound.latent.flatten(2)), before)
        return outputs, ClassicState(hidden.transpose(0, 1), cell.transpose(0, 1), outputs[:, -1])


def _losses(error: Tensor, targets: Tensor) -> Losses:
    n_blocks = targets.shape[0] * targets.shape[1]
    return {"blocks": Part(error * n_blocks, n_blocks)}
