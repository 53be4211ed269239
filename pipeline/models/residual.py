"""The residual decoder: the residual of the expected sound, frame after frame.

A recurrent network reads the residuals of the previous frames; its hidden state, the stacked LSTM's output and the
block's expected sound condition the next one. Training replaces a random share of each frame that it reads by noise
(k ~ U(0, 1), x~ = sqrt(k) e + sqrt(1 - k) x), so that a roll-out, which reads its own imperfect samples, relies on the
expected sound (after "Continuous Audio Language Models", arXiv 2509.06926).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.codecs import Codec, Latents
from pipeline.config import NotesFirstSettings, Sampling
from pipeline.models.base import HeadMaker


class ResidualState(NamedTuple):
    """The state between two blocks of a roll-out."""

    hidden: Tensor  # (n_rows, width)
    last: Tensor  # (n_rows, dims): the residual of the last frame


class ResidualDecoder(nn.Module):
    """Expected sound, previous residuals and context -> residual.

    Args:
        settings: of the model.
        codec: whose latents it reads.
        make_head: makes the head that samples a frame.
    """

    std: Tensor  # (dims,): of the residual

    def __init__(self, settings: NotesFirstSettings, codec: Codec, make_head: HeadMaker) -> None:
        super().__init__()
        width, dims = settings.residual_width, codec.dims
        self.width, self.dims, self.noise = width, dims, settings.residual_noise
        self.n_frames = codec.n_frames
        self.head = make_head(width + dims + codec.conditioning_dims, dims)
        self.from_context = nn.Linear(settings.width, width)
        self.from_block = nn.Linear(codec.n_frames * codec.conditioning_dims, width)
        self.from_last = nn.Linear(dims, width)
        self.position = nn.Parameter(torch.zeros(codec.n_frames, width))
        self.gru = nn.GRU(width, width, batch_first=True)
        self.register_buffer("std", torch.ones(dims))

    def fit(self, residual: Tensor) -> None:
        """Fit the standard deviations of residuals and the head; (n, dims)."""
        self.std.copy_(residual.std(0).clamp(min=1e-4))
        self.head.fit(residual)

    def init_state(self, n_rows: int) -> ResidualState:
        """Return the state before the first frame: a residual of zero."""
        zeros = self.std.new_zeros
        return ResidualState(zeros(n_rows, self.width), zeros(n_rows, self.dims))

    def loss(self, latents: Latents, context: Tensor) -> Tensor:
        """Return the training loss, a mean over frames.

        Shape:
            context (n_rows, n_blocks, context) -> ()
        """
        conditioning = self._conditioning(latents, context)
        loss: Tensor = self.head.loss(conditioning.flatten(0, 1), latents.latent.flatten(0, 2))
        return loss

    def baselines(self, latents: Latents) -> dict[str, Tensor]:
        """See `Model.baselines`."""
        frames = latents.latent.flatten(1, 2)
        return self.head.baselines(frames[:, :-1].flatten(0, 1), frames[:, 1:].flatten(0, 1))

    def read(self, latents: Latents, context: Tensor, state: ResidualState) -> ResidualState:
        """Return the state after known blocks."""
        frames = latents.latent.flatten(1, 2)
        before = torch.cat([state.last[:, None], frames[:, :-1]], dim=1)
        outputs, _ = self.gru(self._inputs(before, latents, context), state.hidden[None].contiguous())
        return ResidualState(outputs[:, -1], frames[:, -1])

    def sample(
        self, conditioning: Tensor, context: Tensor, state: ResidualState, generator: Generator, sampling: Sampling
    ) -> tuple[Tensor, ResidualState]:
        """Sample a block.

        Shape:
            (n_rows, n_frames, conditioning_dims), (n_rows, context) -> (n_rows, n_frames, dims)
        """
        block = self._of_block(conditioning[:, None], context[:, None])[:, 0]
        hidden, last = state
        sample, frames = self.head.sampler(generator, sampling), []
        for n in range(self.n_frames):
            x = F.silu(block + self.from_last(last / self.std) + self.position[n])
            outputs, _ = self.gru(x[:, None], hidden[None].contiguous())
            hidden = outputs[:, 0]
            last = sample(torch.cat([hidden + block, last / self.std, conditioning[:, n]], dim=-1))
            frames.append(last)
        return torch.stack(frames, dim=1), ResidualState(hidden, last)

    def _conditioning(self, latents: Latents, context: Tensor) -> Tensor:
        """Return the head's conditioning vectors, (n_rows, n_blocks * n_frames, size)."""
        frames = latents.latent.flatten(1, 2)
        before = F.pad(frames[:, :-1], (0, 0, 1, 0))
        units = before / self.std
        if self.training:
            share = torch.rand(*before.shape[:2], 1, device=before.device)
            noisy = share.sqrt() * torch.randn_like(units) + (1 - share).sqrt() * units
            std = torch.rand(len(before), 1, 1, device=before.device) * self.noise
            units = units + std * torch.randn_like(units)
        else:
            noisy = units
        states, _ = self.gru(self._inputs(noisy * self.std, latents, context))
        assert latents.conditioning is not None
        block = self._of_block(latents.conditioning, context).repeat_interleave(self.n_frames, dim=1)
        return torch.cat([states + block, units, latents.conditioning.flatten(1, 2)], dim=-1)

    def _inputs(self, before: Tensor, latents: Latents, context: Tensor) -> Tensor:
        """Return the recurrent network's inputs, (n_rows, n_blocks * n_frames, width)."""
        assert latents.conditioning is not None
        n_blocks = context.shape[1]
        block = self._of_block(latents.conditioning, context).repeat_interleave(self.n_frames, dim=1)
        return F.silu(block + self.from_last(before / self.std) + self.position.repeat(n_blocks, 1))

    def _of_block(self, conditioning: Tensor, context: Tensor) -> Tensor:
        """Project a block's conditioning.

        Shape:
            (n_rows, n_blocks, n_frames, conditioning_dims), (n_rows, n_blocks, context) -> (n_rows, n_blocks, width)
        """
        block: Tensor = self.from_block(conditioning.flatten(2)) + self.from_context(context)
        return block
