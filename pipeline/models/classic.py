"""The ancestor's model: dense -> LSTM layers -> dense, a point prediction of the next block. It samples nothing."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.codecs import Codec, Decoder, Latents
from pipeline.config import LSTMSettings, Sampling
from pipeline.models.backends.lstm import LSTM, open_forget_gates
from pipeline.models.base import Block, Blocks, HeadMaker, Losses, LossTerm, Model
from waveforms.notes.events import Notes


class ClassicState(NamedTuple):
    """The LSTM's hidden state.

    Attributes:
        hidden: (n_rows, layers, width).
        cell: (n_rows, layers, width).
        context: the top layer's output for the last block, (n_rows, width).
    """

    hidden: Tensor
    cell: Tensor
    context: Tensor


class Classic(Model[ClassicState]):
    """Regression of the next block's latent by the mean absolute or squared error.

    The output layer's weights start at zero, so an untrained model predicts the mean: training starts at a skill of
    0 %.
    """

    sampled_by = ()

    def __init__(self, settings: LSTMSettings, codec: Codec, make_head: HeadMaker) -> None:
        super().__init__()
        width, layers = settings.width, settings.layers
        self.settings = settings
        self.n_frames, self.dims = codec.n_frames, codec.dims
        self.dense = nn.Linear(self.n_frames * self.dims, width)
        self.lstm = LSTM(width, width, layers, dropout=settings.dropout if layers > 1 else 0.0)
        self.output = nn.Linear(width, self.n_frames * self.dims)
        self.error = {"absolute": F.l1_loss, "squared": F.mse_loss}[settings.error]
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        open_forget_gates(self.lstm)

    def fit(self, blocks: Iterable[Blocks]) -> None:
        """Do nothing: gradients train all of it."""

    def init_state(self, n_rows: int) -> ClassicState:
        """See `Model.init_state`."""
        zeros, width = self.dense.bias.new_zeros, self.settings.width
        hidden, cell = zeros(2, n_rows, self.settings.layers, width)
        return ClassicState(hidden, cell, zeros(n_rows, width))

    def loss(self, blocks: Blocks, state: ClassicState) -> tuple[Losses, ClassicState]:
        """See `Model.loss`."""
        outputs, after = self._read(blocks.latents, state)
        context = torch.cat([state.context[:, None], outputs[:, :-1]], dim=1)
        targets = blocks.latents.latent.flatten(2)
        return _losses(self.error(self.output(context), targets), targets), after

    def baselines(self, blocks: Blocks) -> dict[str, Losses]:
        """See `Model.baselines`. The mean of a latent is zero; the first block repeats it."""
        targets = blocks.latents.latent.flatten(2)
        before = F.pad(targets[:, :-1], (0, 0, 1, 0))
        return {
            "mean": _losses(self.error(torch.zeros_like(targets), targets), targets),
            "repeat": _losses(self.error(before, targets), targets),
        }

    def prime(self, blocks: Blocks) -> ClassicState:
        """See `Model.prime`."""
        return self._read(blocks.latents, self.init_state(blocks.n_rows))[1]

    def step(
        self,
        state: ClassicState,
        decoder: Decoder,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, ClassicState]:
        """Return the point prediction."""
        latents = Latents(self.output(state.context).view(-1, 1, self.n_frames, self.dims))
        return Block(latents, [Notes.of([])] * len(latents.latent)), self._read(latents, state)[1]

    def _read(self, latents: Latents, state: ClassicState) -> tuple[Tensor, ClassicState]:
        before = (state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous())
        outputs, (hidden, cell) = self.lstm(self.dense(latents.latent.flatten(2)), before)
        return outputs, ClassicState(hidden.transpose(0, 1), cell.transpose(0, 1), outputs[:, -1])


def _losses(error: Tensor, targets: Tensor) -> Losses:
    n_blocks = targets.shape[0] * targets.shape[1]
    return {"blocks": LossTerm(error * n_blocks, n_blocks)}
