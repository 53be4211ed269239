"""Notes first, then the sound that they make: a stacked LSTM with a note decoder and a residual decoder.

    block k-1: notes, latent -> LSTM -> hidden state -> notes of block k -> expected sound (the codec)
                                             '--------------------------------> residual of block k

The LSTM reads a block as its notes and as its latent, the FFT-domain residual. The latter is dropped often enough in
training that a roll-out, whose residuals are its own samples, does not lean on it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pipeline.codecs.base import Codec, Player, Sound
from pipeline.codecs.events import BLOCK_SECONDS, EventBatch, decode, encode
from pipeline.config import NotesFirstSettings, Sampling
from pipeline.models.backends.lstm import LSTM, open_forget_gates
from pipeline.models.base import Block, HeadMaker, Latents, Losses, Model, Part
from pipeline.models.notes import SIZES, NoteDecoder
from pipeline.models.residual import ResidualDecoder, ResidualState
from waveforms.notes.events import Notes
from waveforms.notes.performance import LOWEST_PITCH, N_KEYS

ATTRIBUTES = ("onsets", "keys", "velocities", "lengths")


class NotesFirstState(NamedTuple):
    """What is carried from block to block.

    Attributes:
        notes: hidden state of the network over events, (n_rows, note_width).
        hidden: of the LSTM, (n_rows, layers, width).
        cell: likewise.
        context: its top layer after the last block, (n_rows, width).
        residual: of the residual decoder.
        sounding: seconds that each key still sounds, (n_rows, N_KEYS).
        block: how many blocks there were, (n_rows,).
    """

    notes: Tensor
    hidden: Tensor
    cell: Tensor
    context: Tensor
    residual: ResidualState
    sounding: Tensor
    block: Tensor


class NotesFirst(Model):
    """See the module.

    Args:
        settings: of the model.
        make_head: makes what samples a slice of the residual, from the sizes of its conditioning and of a residual.
        codec: whose latents are read.
    """

    def __init__(self, settings: NotesFirstSettings, make_head: HeadMaker, codec: Codec) -> None:
        super().__init__()
        width = settings.width
        self.settings = settings
        self.notes = NoteDecoder(settings.note_width, width, settings.dropout)
        self.from_notes = nn.Linear(settings.note_width, width)
        self.from_sounding = nn.Linear(N_KEYS, width, bias=False)
        self.from_latent = nn.Linear(codec.n_slices * codec.dims, width)
        self.lstm = LSTM(width, width, settings.layers, dropout=settings.dropout if settings.layers > 1 else 0.0)
        self.residual = ResidualDecoder(settings, make_head, codec)
        self.sampled_by = ("temperature", "top_k", "top_p", *self.residual.head.sampled_by)
        open_forget_gates(self.lstm)

    def fit(self, latents: Iterable[Latents]) -> None:
        """Learn how often notes come, how far residuals deviate, and what the head learns without gradients."""
        events, residuals = [], []
        for each in latents:
            assert each.events is not None
            events.append(each.events)
            residuals.append(each.sound.latent.flatten(0, 2))
        self.notes.fit(events)
        self.residual.fit(torch.cat(residuals))

    def start(self, n_rows: int) -> NotesFirstState:
        """See `Model.start`."""
        zeros, width, layers = self.from_latent.bias.new_zeros, self.settings.width, self.settings.layers
        return NotesFirstState(
            self.notes.start(n_rows),
            zeros(n_rows, layers, width),
            zeros(n_rows, layers, width),
            zeros(n_rows, width),
            self.residual.start(n_rows),
            zeros(n_rows, N_KEYS),
            zeros(n_rows),
        )

    def loss(self, latents: Latents, state: NotesFirstState) -> tuple[Losses, NotesFirstState]:
        """Nats an attribute of a note, plus the loss of the residual."""
        before, context, after = self._read(latents, state)
        assert latents.events is not None
        attributes = self.notes.loss(latents.events, before, context)
        n_sound, part = len(latents.sound.latent), self._excerpt(context.shape[1])
        of_sound = self.residual.loss(latents.sound.rows(slice(None), part), context[:n_sound, part])
        return _losses(attributes, of_sound, latents), after

    def baselines(self, latents: Latents) -> dict[str, Losses]:
        """See `Model.baselines`: of the notes, and of the residual."""
        assert latents.events is not None
        of_notes, of_sound = self.notes.baselines(latents.events), self.residual.baselines(latents.sound)
        return {name: _losses(of_notes[name], of_sound[name], latents) for name in of_notes}

    def prime(self, latents: Latents) -> NotesFirstState:
        """See `Model.prime`."""
        state = self.start(latents.n_rows)
        _, context, after = self._read(latents, state)
        return after._replace(residual=self.residual.read(latents.sound, context, state.residual))

    def step(
        self,
        state: NotesFirstState,
        player: Player,
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
        expected = player.expect(notes)
        assert expected.expected is not None
        latent, residual = self.residual.sample(
            expected.expected[:, 0], state.context, state.residual, generator, sampling
        )
        sound = expected._replace(latent=latent[:, None])
        sounding = self._still_sounding(state.sounding, notes, block)
        outputs, hidden, cell = self._run(self._enter(note_state[:, None], sounding[:, None], sound), state)
        after = NotesFirstState(note_state, hidden, cell, outputs[:, -1], residual, sounding, state.block + 1)
        return Block(sound, notes), after

    def _read(self, latents: Latents, state: NotesFirstState) -> tuple[Tensor, Tensor, NotesFirstState]:
        """Run over blocks: what is known before each event and before each block, and the state after them."""
        events = latents.events
        assert events is not None
        before, blocks = self.notes.read(events, state.notes)
        outputs, hidden, cell = self._run(self._enter(blocks, events.sounding, latents.sound), state)
        context = torch.cat([state.context[:, None], outputs[:, :-1]], dim=1)
        after = state._replace(
            notes=blocks[:, -1],
            hidden=hidden,
            cell=cell,
            context=outputs[:, -1],
            sounding=events.sounding[:, -1],
            block=state.block + blocks.shape[1],
        )
        return before, context, after

    def _run(self, x: Tensor, state: NotesFirstState) -> tuple[Tensor, Tensor, Tensor]:
        """The LSTM over (n_rows, n_blocks, width): its top layer after each block, and its hidden and cell state."""
        before = (state.hidden.transpose(0, 1).contiguous(), state.cell.transpose(0, 1).contiguous())
        outputs, (hidden, cell) = self.lstm(x, before)
        return outputs, hidden.transpose(0, 1), cell.transpose(0, 1)

    def _enter(self, notes: Tensor, sounding: Tensor, sound: Sound) -> Tensor:
        """What the LSTM reads, (n_rows, n_blocks, width); the rows beyond those of `sound` are notes alone."""
        x = self.from_notes(notes) + self.from_sounding(torch.log1p(4 * sounding))
        heard = self.from_latent(sound.latent.flatten(2))
        if self.training:
            heard = heard * (torch.rand(len(heard), 1, 1, device=heard.device) < self.settings.latents_kept)
        n_sound = len(heard)
        return torch.cat([x[:n_sound] + heard, x[n_sound:]])

    def _excerpt(self, n_blocks: int) -> slice:
        """The blocks whose residual is looked at: all in validation, some in training."""
        most = self.settings.residual_blocks
        if not self.training or n_blocks <= most:
            return slice(None)
        first = int(torch.randint(n_blocks - most + 1, ()))
        return slice(first, first + most)

    @staticmethod
    def _still_sounding(before: Tensor, notes: Sequence[Notes], block: int) -> Tensor:
        """Seconds that each key sounds on after a block; (n_rows, N_KEYS) before it -> after it."""
        end = (block + 1) * BLOCK_SECONDS
        after = (before - BLOCK_SECONDS).clamp(min=0).cpu().numpy()
        for row, of_row in enumerate(notes):  # of two notes of a key the later one, which numpy writes last
            after[row, of_row.pitches - LOWEST_PITCH] = np.maximum(of_row.offsets - end, 0)
        return torch.from_numpy(after).to(before.device)


def _losses(attributes: Tensor, of_sound: Tensor, latents: Latents) -> Losses:
    assert latents.events is not None
    n_notes, n_slices = latents.events.n_notes, latents.sound.latent[..., 0].numel()
    losses = {name: Part(value, n_notes, 1 / len(SIZES)) for name, value in zip(ATTRIBUTES, attributes, strict=True)}
    return losses | {"sound": Part(of_sound * n_slices, n_slices)}
