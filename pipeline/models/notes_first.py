"""Notes first, then their sound: a stacked LSTM with a note decoder and a residual decoder.

    block k-1: notes, latent -> LSTM -> hidden state -> notes of block k -> expected sound (the codec)
                                             '--------------------------------> residual of block k

The LSTM reads a block as its notes and as its latent, the FFT-domain residual. Training drops the latent of many
sequences, so that a roll-out, whose residuals are its own samples, does not depend on it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pipeline.codecs import Codec, Decoder, Latents
from pipeline.codecs.events import BLOCK_SECONDS, EventBatch, decode, encode
from pipeline.config import NotesFirstSettings, Sampling
from pipeline.models.backends.lstm import LSTM, open_forget_gates
from pipeline.models.base import Block, Blocks, HeadMaker, Losses, LossTerm, Model
from pipeline.models.notes import SIZES, NoteDecoder
from pipeline.models.residual import ResidualDecoder, ResidualState
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH, N_KEYS

ATTRIBUTES = ("onsets", "keys", "velocities", "lengths")


class NotesFirstState(NamedTuple):
    """The state after a block.

    Attributes:
        notes: hidden state of the network over events, (n_rows, note_width).
        hidden: hidden state of the LSTM, (n_rows, layers, width).
        cell: its cell state, (n_rows, layers, width).
        context: the output of its top layer for the last block, (n_rows, width).
        residual: the state of the residual decoder.
        sounding: seconds for which each key sounds on, (n_rows, N_KEYS).
        block: the number of blocks read, (n_rows,).
    """

    notes: Tensor
    hidden: Tensor
    cell: Tensor
    context: Tensor
    residual: ResidualState
    sounding: Tensor
    block: Tensor


class NotesFirst(Model[NotesFirstState]):
    """See the module.

    Args:
        settings: of the model.
        codec: whose latents it reads.
        make_head: makes the head that samples a frame of the residual.
    """

    def __init__(self, settings: NotesFirstSettings, codec: Codec, make_head: HeadMaker) -> None:
        super().__init__()
        width = settings.width
        self.settings = settings
        self.notes = NoteDecoder(settings.note_width, width, settings.dropout)
        self.from_notes = nn.Linear(settings.note_width, width)
        self.from_sounding = nn.Linear(N_KEYS, width, bias=False)
        self.from_latent = nn.Linear(codec.n_frames * codec.dims, width)
        self.lstm = LSTM(width, width, settings.layers, dropout=settings.dropout if settings.layers > 1 else 0.0)
        self.residual = ResidualDecoder(settings, codec, make_head)
        self.sampled_by = ("temperature", "top_k", "top_p", *self.residual.head.sampled_by)
        open_forget_gates(self.lstm)

    def fit(self, blocks: Iterable[Blocks]) -> None:
        """Fit the frequencies of the notes' classes, the residuals' standard deviations and the head."""
        events, residuals = [], []
        for each in blocks:
            assert each.events is not None
            events.append(each.events)
            residuals.append(each.latents.latent.flatten(0, 2))
        self.notes.fit(events)
        self.residual.fit(torch.cat(residuals))

    def init_state(self, n_rows: int) -> NotesFirstState:
        """See `Model.init_state`."""
        zeros, width, layers = self.from_latent.bias.new_zeros, self.settings.width, self.settings.layers
        return NotesFirstState(
            self.notes.init_state(n_rows),
            zeros(n_rows, layers, width),
            zeros(n_rows, layers, width),
            zeros(n_rows, width),
            self.residual.init_state(n_rows),
            zeros(n_rows, N_KEYS),
            zeros(n_rows),
        )

    def loss(self, blocks: Blocks, state: NotesFirstState) -> tuple[Losses, NotesFirstState]:
        """Return the nats of a note's attribute plus the loss of the residual: see `Model.loss`."""
        before, context, after = self._read(blocks, state)
        assert blocks.events is not None
        attributes = self.notes.loss(blocks.events, before, context)
        n_sound, part = len(blocks.latents.latent), self._residual_blocks(context.shape[1])
        residual = self.residual.loss(blocks.latents.blocks(part), context[:n_sound, part])
        return _losses(attributes, residual, blocks), after

    def baselines(self, blocks: Blocks) -> dict[str, Losses]:
        """See `Model.baselines`."""
        assert blocks.events is not None
        of_notes, of_residual = self.notes.baselines(blocks.events), self.residual.baselines(blocks.latents)
        return {name: _losses(of_notes[name], of_residual[name], blocks) for name in of_notes}

    def prime(self, blocks: Blocks) -> NotesFirstState:
        """See `Model.prime`."""
        state = self.init_state(blocks.n_rows)
        _, context, after = self._read(blocks, state)
        return after._replace(residual=self.residual.read(blocks.latents, context, state.residual))

    def step(
        self,
        state: NotesFirstState,
        decoder: Decoder,
        generator: Generator,
        sampling: Sampling,
        notes: Sequence[Notes] | None = None,
    ) -> tuple[Block, NotesFirstState]:
        """See `Model.step`."""
        block = int(state.block[0])
        if notes is None:
            events, n_events, note_state = self.notes.sample(state.notes, state.context, generator, sampling)
            counted = [rows[:n] for rows, n in zip(events.cpu().numpy(), n_events.tolist(), strict=True)]
            notes = [Notes.of(decode(of_row, block)) for of_row in counted]
        else:
            of_rows = [encode(of_row, block, 1) for of_row in notes]
            _, note_states = self.notes.read(EventBatch.of(of_rows).to(state.context.device), state.notes)
            note_state = note_states[:, -1]
        expected = decoder.expect(notes)
        assert expected.conditioning is not None
        latent, residual = self.residual.sample(
            expected.conditioning[:, 0], state.context, state.residual, generator, sampling
        )
        latents = expected._replace(latent=latent[:, None])
        sounding = self._still_sounding(state.sounding, notes, block)
        outputs, hidden, cell = self._run(self._inputs(note_state[:, None], sounding[:, None], latents), state)
        after = NotesFirstState(note_state, hidden, cell, outputs[:, -1], residual, sounding, state.block + 1)
        return Block(latents, notes), after

    def _read(self, blocks: Blocks, state: NotesFirstState) -> tuple[Tensor, Tensor, NotesFirstState]:
        """Read blocks: return the hidden states before each event and before each block, and the state after all."""
        events = blocks.events
        assert events is not None
        before, note_states = self.notes.read(events, state.notes)
        outputs, hidden, cell = self._run(self._inputs(note_states, events.sounding, blocks.latents), state)
        context = torch.cat([state.context[:, None], outputs[:, :-1]], dim=1)
        after = state._replace(
            notes=note_states[:, -1],
            hidden=hidden,
            cell=cell,
            context=outputs[:, -1],
            sounding=events.sounding[:, -1],
            block=state.block + note_states.shape[1],
        )
        return before, context, after

    def _run(self, x: Tensor, state: NotesFirstState) -> tuple[Tensor, Tensor, Tensor]:
        """Run the LSTM over (n_rows, n_blocks, width): return its top layer's outputs, hidden and cell states."""
        before = (state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous())
        outputs, (hidden, cell) = self.lstm(x, before)
        return outputs, hidden.transpose(0, 1), cell.transpose(0, 1)

    def _inputs(self, notes: Tensor, sounding: Tensor, latents: Latents) -> Tensor:
        """Return the LSTM's inputs, (n_rows, n_blocks, width); rows beyond those of `latents` hold notes only."""
        x = self.from_notes(notes) + self.from_sounding(torch.log1p(4 * sounding))
        sound = self.from_latent(latents.latent.flatten(2))
        if self.training:
            sound = sound * (torch.rand(len(sound), 1, 1, device=sound.device) < self.settings.latents_kept)
        n_sound = len(sound)
        return torch.cat([x[:n_sound] + sound, x[n_sound:]])

    def _residual_blocks(self, n_blocks: int) -> slice:
        """Choose the blocks whose residual the loss counts: all in validation, some in training."""
        most = self.settings.residual_blocks
        if not self.training or n_blocks <= most:
            return slice(None)
        first = int(torch.randint(n_blocks - most + 1, ()))
        return slice(first, first + most)

    @staticmethod
    def _still_sounding(before: Tensor, notes: Sequence[Notes], block: int) -> Tensor:
        """Update the seconds for which each key sounds on; (n_rows, N_KEYS) before a block -> after it."""
        end = (block + 1) * BLOCK_SECONDS
        after = (before - BLOCK_SECONDS).clamp(min=0).cpu().numpy()
        for row, of_row in enumerate(notes):  # numpy writes the later of two notes of a key last
            after[row, of_row.pitches - LOWEST_PITCH] = np.maximum(of_row.offsets - end, 0)
        return torch.from_numpy(after).to(before.device)


def _losses(attributes: Tensor, residual: Tensor, blocks: Blocks) -> Losses:
    assert blocks.events is not None
    n_notes, n_frames = blocks.events.n_notes, blocks.latents.latent[..., 0].numel()
    terms = {name: LossTerm(sum_, n_notes, 1 / len(SIZES)) for name, sum_ in zip(ATTRIBUTES, attributes, strict=True)}
    return terms | {"sound": LossTerm(residual * n_frames, n_frames)}
