"""The residual decoder: what the expected sound leaves over, slice after slice.

A recurrent network reads the residuals of earlier slices; what comes next is conditioned on its state, on the stacked
LSTM's and on the expected sound of the block. In training what it reads is erased by chance, each slice by a share of
its own (k ~ U(0, 1), x~ = sqrt(k) e + sqrt(1 - k) x), so that a roll-out, whose own samples are not quite right, leans
on the expected sound (after "Continuous Audio Language Models", arXiv 2509.06926).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.codecs.base import Codec, Sound
from pipeline.config import NotesFirstSettings, Sampling
from pipeline.models.base import HeadMaker


class ResidualState(NamedTuple):
    """What a roll-out carries from block to block."""

    hidden: Tensor  # (n_rows, width)
    last: Tensor  # (n_rows, dims): the last slice's residual


class ResidualDecoder(nn.Module):
    """Expected sound, earlier residuals and context -> residual.

    Args:
        settings: of the model.
        make_head: makes what samples a slice.
        codec: whose latents are read.
    """

    deviation: Tensor  # (dims,)

    def __init__(self, settings: NotesFirstSettings, make_head: HeadMaker, codec: Codec) -> None:
        super().__init__()
        width, dims = settings.residual_width, codec.dims
        self.width, self.dims, self.noise = width, dims, settings.residual_noise
        self.n_slices = codec.n_slices
        self.head = make_head(width + dims + codec.expected_dims, dims)
        self.from_context = nn.Linear(settings.width, width)
        self.from_block = nn.Linear(codec.n_slices * codec.expected_dims, width)
        self.from_last = nn.Linear(dims, width)
        self.place = nn.Parameter(torch.zeros(codec.n_slices, width))
        self.gru = nn.GRU(width, width, batch_first=True)
        self.register_buffer("deviation", torch.ones(dims))

    def fit(self, residual: Tensor) -> None:
        """Learn how far residuals deviate, and what the head learns without gradients; (n, dims)."""
        self.deviation.copy_(residual.std(0).clamp(min=1e-4))
        self.head.fit(residual)

    def start(self, n_rows: int) -> ResidualState:
        """Before the first slice: nothing is left over."""
        zeros = self.deviation.new_zeros
        return ResidualState(zeros(n_rows, self.width), zeros(n_rows, self.dims))

    def loss(self, sound: Sound, context: Tensor) -> Tensor:
        """What training makes small, a mean over slices.

        Shape:
            context (n_rows, n_blocks, context) -> ()
        """
        conditioning = self._conditioning(sound, context)
        loss: Tensor = self.head.loss(conditioning.flatten(0, 1), sound.latent.flatten(0, 2))
        return loss

    def baselines(self, sound: Sound) -> dict[str, Tensor]:
        """See `Model.baselines`."""
        slices = sound.latent.flatten(1, 2)
        return self.head.baselines(slices[:, :-1].flatten(0, 1), slices[:, 1:].flatten(0, 1))

    def read(self, sound: Sound, context: Tensor, state: ResidualState) -> ResidualState:
        """Take in blocks that are known."""
        slices = sound.latent.flatten(1, 2)
        before = torch.cat([state.last[:, None], slices[:, :-1]], dim=1)
        outputs, _ = self.gru(self._read(before, sound, context), state.hidden[None].contiguous())
        return ResidualState(outputs[:, -1], slices[:, -1])

    def sample(
        self, expected: Tensor, context: Tensor, state: ResidualState, generator: Generator, sampling: Sampling
    ) -> tuple[Tensor, ResidualState]:
        """Draw a block.

        Shape:
            (n_rows, n_slices, expected_dims), (n_rows, context) -> (n_rows, n_slices, dims)
        """
        block = self._of_block(expected[:, None], context[:, None])[:, 0]
        hidden, last = state
        draw, slices = self.head.sampler(generator, sampling), []
        for place in range(self.n_slices):
            read = F.silu(block + self.from_last(last / self.deviation) + self.place[place])
            outputs, _ = self.gru(read[:, None], hidden[None].contiguous())
            hidden = outputs[:, 0]
            conditioning = torch.cat([hidden + block, last / self.deviation, expected[:, place]], dim=-1)
            last = draw(conditioning)
            slices.append(last)
        return torch.stack(slices, dim=1), ResidualState(hidden, last)

    def _conditioning(self, sound: Sound, context: Tensor) -> Tensor:
        """(n_rows, n_blocks * n_slices, conditioning)."""
        slices = sound.latent.flatten(1, 2)
        before = F.pad(slices[:, :-1], (0, 0, 1, 0))
        units = before / self.deviation
        if self.training:
            kept = torch.rand(*before.shape[:2], 1, device=before.device)
            erased = kept.sqrt() * torch.randn_like(units) + (1 - kept).sqrt() * units
            level = torch.rand(len(before), 1, 1, device=before.device) * self.noise
            units = units + level * torch.randn_like(units)
        else:
            erased = units
        states, _ = self.gru(self._read(erased * self.deviation, sound, context))
        assert sound.expected is not None
        block = self._of_block(sound.expected, context).repeat_interleave(self.n_slices, dim=1)
        return torch.cat([states + block, units, sound.expected.flatten(1, 2)], dim=-1)

    def _read(self, before: Tensor, sound: Sound, context: Tensor) -> Tensor:
        assert sound.expected is not None
        n_blocks = context.shape[1]
        block = self._of_block(sound.expected, context).repeat_interleave(self.n_slices, dim=1)
        return F.silu(block + self.from_last(before / self.deviation) + self.place.repeat(n_blocks, 1))

    def _of_block(self, expected: Tensor, context: Tensor) -> Tensor:
        """(n_rows, n_blocks, n_slices, expected_dims), (n_rows, n_blocks, context) -> (n_rows, n_blocks, width)."""
        block: Tensor = self.from_block(expected.flatten(2)) + self.from_context(context)
        return block
