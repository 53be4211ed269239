"""One engine for every roll-out: a prompt goes in, each block is fed back, sound and notes stream out.

session = Session(model, codec)
session.prime(prompts, seed=7)
for part in session.stream(40):
    part.samples, part.notes
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Generator, Tensor

from pipeline.codecs import Codec, Player, Sound
from pipeline.codecs.events import BLOCK_SECONDS, EventBatch, encode
from pipeline.codecs.instrument import NoteExcerpt, NoteTable
from pipeline.config import Sampling
from pipeline.models import Block, Latents, Model, State
from pipeline.models.backends.int8 import is_faster, quantised
from pipeline.prompts import Prompt
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes
from waveforms.notes.transcriber import transcribe

T = TypeVar("T")

PROMPT_CHUNK = 64  # blocks of the prompt decoded at a time
LEAD_IN = 4  # blocks of a prompt that is not rendered itself from which phases run on; none further back matter


class Part(NamedTuple):
    """What a roll-out gives at a time.

    Attributes:
        samples: (n_rows, n_samples).
        notes: of each row, those that begin in the block just predicted, in seconds from the prompt's end; its samples
            come later.
    """

    samples: Tensor
    notes: Sequence[Notes]


def arithmetic(device: str) -> str:
    """In which roll-outs are computed on a device: "int8" where that is faster, or "float32".

    Clips of the model before this one were equally near to real music in either (docs/experiments.md, section 12).
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
        read = [self._read(prompt, row) for prompt, row in zip(prompts, padded, strict=True)]
        profiles = torch.stack([profile for _, profile in read])
        table = events = None
        notes = [of_row for of_row, _ in read if of_row is not None]
        if notes:
            table = NoteTable.of([NoteExcerpt(of_row, row) for row, of_row in enumerate(notes)]).to(waveforms.device)
            events = EventBatch.of([encode(of_row, 0, n_blocks) for of_row in notes]).to(waveforms.device)
        sound = self._codec.encode(padded, table, profiles[:, None].expand(-1, n_blocks, -1))
        self._prompt = Latents(sound, events)
        self._prompt_blocks = n_blocks
        self._player = self._codec.player(profiles)
        if notes:
            self._player.expect(notes, n_blocks)
        self._state = self._model.prime(self._prompt)

    def stream(
        self, n_blocks: int | None, notes: Sequence[Notes] | None = None, *, with_prompt: bool = False
    ) -> Iterator[Part]:
        """Render what follows the prompt, once after each `prime`.

        Args:
            n_blocks: how many blocks; None goes on until it is cancelled.
            notes: to play, of each row, in seconds from the prompt's end; None lets the model choose.
            with_prompt: render the prompt, too, first.

        Yields:
            All samples together are (n_rows, n_blocks * BLOCK_SIZE), and before them those of the prompt.
        """
        assert self._player is not None, "prime comes first"
        assert self._prompt is not None, "a prompt is rendered once"
        first = 0 if with_prompt else max(self._prompt_blocks - LEAD_IN, 0)
        n_to_skip = 0 if with_prompt else (self._prompt_blocks - first) * BLOCK_SIZE
        chunks = [
            self._prompt.sound.rows(slice(None), slice(at, at + PROMPT_CHUNK))
            for at in range(first, self._prompt_blocks, PROMPT_CHUNK)
        ]
        self._prompt = None
        for part in self._parts(chunks, n_blocks, notes):
            yield part._replace(samples=part.samples[:, n_to_skip:])
            n_to_skip = max(n_to_skip - part.samples.shape[1], 0)

    def _parts(self, prompt: list[Sound], n_blocks: int | None, given: Sequence[Notes] | None) -> Iterator[Part]:
        """What `stream` yields, from the first sample of the prompt's first chunk on.

        While the model predicts a block, the one before it is decoded.
        """
        assert self._player is not None
        *chunks, last = prompt
        nothing = [Notes.of([])] * len(last.latent)
        begin, done = self._prompt_blocks * BLOCK_SECONDS, 0
        with _beside(self._device) as beside:
            for chunk in chunks:
                yield Part(beside(partial(self._push, chunk))(), nothing)
            while not self._cancelled and (n_blocks is None or done < n_blocks):
                samples = beside(partial(self._push, last, sampled=done > 0))
                at = begin + done * BLOCK_SECONDS
                rows = given and [row.moved(seconds=begin).between(at, at + BLOCK_SECONDS) for row in given]
                block = self._step(rows)
                yield Part(samples(), [row.moved(seconds=-begin) for row in block.notes])
                last, done = block.sound, done + 1
            yield Part(beside(partial(self._push, last, sampled=done > 0))(), nothing)
        yield Part(self._player.finish(), nothing)

    def _read(self, prompt: Prompt, padded: Tensor) -> tuple[Notes | None, Tensor]:
        """The notes of a prompt, where the codec reads notes, and its profile."""
        if not self._codec.reads_notes:
            return None, self._codec.profile(padded, None)
        notes = prompt.notes
        if notes is None:
            heard = transcribe(prompt.waveform)
            with torch.inference_mode(False):  # notes follow a gradient
                notes = self._codec.refined(padded.clone(), heard, self._codec.profile(padded.clone(), heard))
        return notes, self._codec.profile(padded, notes)

    @torch.inference_mode()
    def _step(self, given: Sequence[Notes] | None) -> Block:
        assert self._player is not None
        block, self._state = self._model.step(self._state, self._player, self._generator, self.sampling, given)
        return block

    @torch.inference_mode()
    def _push(self, sound: Sound, *, sampled: bool = False) -> Tensor:
        assert self._player is not None
        return self._player.push(sound, sampled=sampled)


@contextmanager
def _beside(device: str) -> Iterator[Callable[[Callable[[], T]], Callable[[], T]]]:
    """Begins work in a thread beside this one, and gives what waits for its end.

    On a CPU each of the two computes with half of torch's threads; where there is only one, work waits to be asked for.
    """
    n_threads = torch.get_num_threads()
    if device != "cpu" or n_threads == 1:
        yield lambda work: work
        return
    n_beside = n_threads // 2
    with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(n_beside,)) as executor:
        torch.set_num_threads(n_threads - n_beside)
        try:
            yield lambda work: executor.submit(work).result
        finally:
            torch.set_num_threads(n_threads)
