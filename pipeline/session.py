"""One engine for every roll-out: a prompt goes in, each block is fed back, sound and notes stream out.

session = Session(model, codec)
session.prime(prompts, seed=7)
for part in session.stream(40):
    part.samples, part.notes
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from pipeline.codecs import Codec, Player
from pipeline.codecs.events import BLOCK_SECONDS, EventBatch, encode
from pipeline.codecs.instrument import NoteExcerpt, NoteTable
from pipeline.models import Latents, Model, State
from pipeline.models.quantised import is_faster, quantised
from pipeline.prompts import Prompt
from pipeline.settings import Sampling
from waveforms import BLOCK_SIZE
from waveforms.notes.events import Notes
from waveforms.notes.transcriber import transcribe

PROMPT_CHUNK = 64  # blocks of the prompt decoded at a time


class Part(NamedTuple):
    """What a roll-out gives at a time.

    Attributes:
        samples: (n_rows, n_samples).
        notes: of each row, those that begin in the blocks that were added, in seconds from the prompt's end.
    """

    samples: Tensor
    notes: Sequence[Notes]


def arithmetic(device: str) -> str:
    """In which roll-outs are computed on a device: "int8" where that is faster, or "float32".

    Either way clips are equally near to real music (docs/experiments.md, section 12).
    """
    return "int8" if device == "cpu" and is_faster() else "float32"


class Session:
    """A roll-out of one or several rows.

    Memory does not grow with its length, and time grows linearly.

    Args:
        model: moved to the device, and used in 8 bits where that is faster; it cannot be trained meanwhile.
        codec: that it was trained with.
        device: to compute on.

    Attributes:
        sampling: how daring the samples are.
    """

    def __init__(self, model: Model, codec: Codec, device: str = "cpu") -> None:
        model = model.eval().to(device)
        self._model = quantised(model) if arithmetic(device) == "int8" else model
        self._codec = codec.to(device)
        self._device = device
        self.sampling = Sampling()
        self.reset()

    def reset(self) -> None:
        """Forget the prompt and all that followed."""
        self._player: Player | None = None
        self._state: State = None
        self._prompt: Latents | None = None
        self._prompt_blocks = 0
        self._cancelled = False

    def change(self, **sampling: Any) -> None:
        """Change fields of `sampling` from the next block on.

        Raises:
            SettingsError: a value is not legal.
        """
        self.sampling = replace(self.sampling, **sampling)

    def cancel(self) -> None:
        """End the stream after the block in hand; may be called from another thread."""
        self._cancelled = True

    @torch.inference_mode()
    def prime(self, prompts: Sequence[Prompt], *, seed: int) -> None:
        """Read prompts of one length, one a row.

        A prompt goes through the codec like everything else, so nothing changes where it ends. Its notes are listened
        for where the codec reads notes and they are not known.

        Args:
            prompts: whole blocks each.
            seed: of every random draw.
        """
        self.reset()
        self._generator = Generator(self._device).manual_seed(seed)
        waveforms = torch.from_numpy(np.stack([prompt.waveform for prompt in prompts])).to(self._device)
        n_blocks = waveforms.shape[1] // BLOCK_SIZE
        padded = torch.nn.functional.pad(waveforms, self._codec.margins)
        notes: list[Notes] = []
        table = events = None
        if self._codec.reads_notes:
            notes = [transcribe(p.waveform) if p.notes is None else p.notes for p in prompts]
            table = NoteTable.of([NoteExcerpt(of_row, row) for row, of_row in enumerate(notes)]).to(waveforms.device)
            events = EventBatch.of([encode(of_row, 0, n_blocks) for of_row in notes]).to(waveforms.device)
        profiles = torch.stack([self._codec.profile(row, notes[n] if notes else None) for n, row in enumerate(padded)])
        sound = self._codec.encode(padded, table, profiles[:, None].expand(-1, n_blocks, -1))
        self._prompt = Latents(sound, events)
        self._prompt_blocks = n_blocks
        self._player = self._codec.player(profiles)
        if notes:
            self._player.expect(notes, n_blocks)
        self._state = self._model.prime(self._prompt)

    def stream(self, n_blocks: int | None, notes: Sequence[Notes] | None = None) -> Iterator[Part]:
        """Render the prompt and what follows it, once after each `prime`.

        Args:
            n_blocks: after the prompt; None goes on until it is cancelled.
            notes: to play, of each row, in seconds from the prompt's end; None lets the model choose.

        Yields:
            The prompt first. All samples together are (n_rows, n_prompt_samples + n_blocks * BLOCK_SIZE).
        """
        assert self._player is not None, "prime comes first"
        assert self._prompt is not None, "a prompt is rendered once"
        nothing = [Notes.of([])] * len(self._prompt.sound.latent)
        for first in range(0, self._prompt_blocks, PROMPT_CHUNK):
            chunk = self._prompt.sound.rows(slice(None), slice(first, first + PROMPT_CHUNK))
            yield Part(self._inferred(self._player.push, chunk), nothing)
        self._prompt = None
        begin = self._prompt_blocks * BLOCK_SECONDS
        done = 0
        while not self._cancelled and (n_blocks is None or done < n_blocks):
            given = None
            if notes is not None:
                block = begin + done * BLOCK_SECONDS
                given = [of_row.moved(seconds=begin).between(block, block + BLOCK_SECONDS) for of_row in notes]
            yield self._step(given, begin)
            done += 1
        yield Part(self._player.finish(), nothing)

    @torch.inference_mode()
    def _step(self, given: Sequence[Notes] | None, begin: float) -> Part:
        assert self._player is not None
        block, self._state = self._model.step(self._state, self._player, self._generator, self.sampling, given)
        samples = self._player.push(block.sound)
        return Part(samples, [of_row.moved(seconds=-begin) for of_row in block.notes])

    @torch.inference_mode()
    def _inferred(self, push: Any, sound: Any) -> Tensor:
        samples: Tensor = push(sound)
        return samples
