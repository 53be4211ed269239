"""The engine of every roll-out: a session reads a prompt, feeds each block back, and streams sound and notes.

session = Session(checkpoint.model, checkpoint.codec)
session.prime(prompts, seed=7)
for chunk in session.stream(40):
    chunk.samples, chunk.notes
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

from pipeline.codecs import Codec, Decoder, Latents
from pipeline.codecs.events import EventBatch, encode
from pipeline.codecs.note_table import NoteExcerpt, NoteTable
from pipeline.config import Sampling
from pipeline.models import Block, Blocks, Model
from pipeline.models.backends.int8 import is_faster, quantised
from pipeline.prompts import Prompt
from waveforms.notes.events import Notes
from waveforms.notes.transcriber import transcribe

T = TypeVar("T")

PROMPT_CHUNK = 64  # blocks of the prompt that are decoded at a time
LEAD_IN = 4  # last blocks of an unrendered prompt that phase recovery needs


class Chunk(NamedTuple):
    """A chunk of a roll-out's stream.

    Attributes:
        samples: (n_rows, n_samples).
        notes: of each row, those that begin in the block just sampled, in seconds from the prompt's end; the samples of
            that block come with a later chunk.
    """

    samples: Tensor
    notes: Sequence[Notes]


def arithmetic(device: str) -> str:
    """Return the arithmetic of roll-outs on a device: "int8" where that is faster, or "float32".

    Clips in either were equally near to real music (docs/experiments.md, section 12).
    """
    return "int8" if device == "cpu" and is_faster() else "float32"


class Session:
    """A roll-out of one or several rows.

    It needs constant memory, and time in proportion to its length.

    Args:
        model: the session moves it to the device, and uses an 8-bit copy where that is faster.
        codec: of the model.
        device: to compute on.

    Attributes:
        sampling: temperatures and truncation.
    """

    def __init__(self, model: Model[Any], codec: Codec, device: str = "cpu") -> None:
        model = model.eval().to(device)
        self._model = quantised(model) if arithmetic(device) == "int8" else model
        self._codec = codec.to(device)
        self._device = device
        self.sampling = Sampling()
        self.reset()

    def reset(self) -> None:
        """Forget the prompt and all that followed."""
        self._decoder: Decoder | None = None
        self._state: Any = None  # of the model's own type
        self._prompt: Blocks | None = None
        self._prompt_blocks = 0
        self._cancelled = False

    def change(self, **sampling: Any) -> None:
        """Change fields of `sampling` from the next block on.

        Raises:
            SettingsError: a value is not legal.
        """
        self.sampling = replace(self.sampling, **sampling)

    def cancel(self) -> None:
        """End the stream after the current block; another thread may call this."""
        self._cancelled = True

    @torch.inference_mode()
    def prime(self, prompts: Sequence[Prompt], *, seed: int) -> None:
        """Read prompts of one length, one a row.

        The codec encodes and decodes the prompt like everything else, so nothing changes at its end. A transcriber
        finds its notes where the codec reads notes and they are unknown.

        Args:
            prompts: whole blocks each.
            seed: of every random number.
        """
        waveforms = torch.from_numpy(np.stack([prompt.waveform for prompt in prompts])).to(self._device)
        n_blocks = waveforms.shape[1] // self._codec.block_size
        padded = torch.nn.functional.pad(waveforms, self._codec.padding)
        read = [self._read(prompt, row) for prompt, row in zip(prompts, padded, strict=True)]
        profiles = torch.stack([profile for _, profile in read])
        table = events = None
        notes = [of_row for of_row, _ in read if of_row is not None]
        if notes:
            table = NoteTable.of([NoteExcerpt(of_row, row) for row, of_row in enumerate(notes)]).to(waveforms.device)
            events = EventBatch.of([encode(of_row, 0, n_blocks) for of_row in notes]).to(waveforms.device)
        latents = self._codec.encode(padded, table, profiles[:, None].expand(-1, n_blocks, -1))
        self.prime_encoded(Blocks(latents, events), profiles, notes, seed=seed)

    @torch.inference_mode()
    def prime_encoded(self, prompt: Blocks, profiles: Tensor, notes: Sequence[Notes], *, seed: int) -> None:
        """Read a prompt that is encoded already.

        Args:
            prompt: of every row.
            profiles: of the recordings, see `Codec.profile`, (n_rows, n_numbers).
            notes: of each row, in seconds from the prompt's beginning; none at all where the codec reads no notes.
            seed: of every random number.
        """
        self.reset()
        self._generator = Generator(self._device).manual_seed(seed)
        self._prompt = prompt
        self._prompt_blocks = prompt.latents.latent.shape[1]
        self._decoder = self._codec.decoder(profiles)
        if notes:
            self._decoder.expect(notes, self._prompt_blocks)
        self._state = self._model.prime(prompt)

    @torch.inference_mode()
    def step(self, notes: Sequence[Notes] | None = None) -> Block:
        """Sample the next block and feed it back, without decoding it.

        Args:
            notes: prescribed to each row in this block, in seconds from the prompt's beginning; None lets the model
                sample them.
        """
        assert self._decoder is not None, "prime comes first"
        block, self._state = self._model.step(self._state, self._decoder, self._generator, self.sampling, notes)
        return block

    def stream(
        self, n_blocks: int | None, notes: Sequence[Notes] | None = None, *, with_prompt: bool = False
    ) -> Iterator[Chunk]:
        """Render the blocks that follow the prompt, once after each `prime`.

        Args:
            n_blocks: how many blocks; None goes on until the session is cancelled.
            notes: prescribed to each row, in seconds from the prompt's end; None lets the model sample them.
            with_prompt: render the prompt first.

        Yields:
            chunks of (n_rows, n_blocks * block_size) samples in all, behind those of the prompt.
        """
        assert self._decoder is not None, "prime comes first"
        assert self._prompt is not None, "a prompt is rendered once"
        first = 0 if with_prompt else max(self._prompt_blocks - LEAD_IN, 0)
        n_to_skip = 0 if with_prompt else (self._prompt_blocks - first) * self._codec.block_size
        chunks = [
            self._prompt.latents.blocks(slice(at, at + PROMPT_CHUNK))
            for at in range(first, self._prompt_blocks, PROMPT_CHUNK)
        ]
        self._prompt = None
        for chunk in self._chunks(chunks, n_blocks, notes):
            yield chunk._replace(samples=chunk.samples[:, n_to_skip:])
            n_to_skip = max(n_to_skip - chunk.samples.shape[1], 0)

    def _chunks(self, prompt: list[Latents], n_blocks: int | None, given: Sequence[Notes] | None) -> Iterator[Chunk]:
        """Yield what `stream` yields, from the first sample of the prompt's first chunk on.

        While the model samples a block, a thread decodes the previous one.
        """
        assert self._decoder is not None
        *chunks, last = prompt
        nothing = [Notes.of([])] * len(last.latent)
        seconds = self._codec.block_seconds
        begin, done = self._prompt_blocks * seconds, 0
        with _beside(self._device) as beside:
            for chunk in chunks:
                yield Chunk(beside(partial(self._push, chunk))(), nothing)
            while not self._cancelled and (n_blocks is None or done < n_blocks):
                samples = beside(partial(self._push, last, sampled=done > 0))
                at = begin + done * seconds
                rows = given and [row.moved(seconds=begin).between(at, at + seconds) for row in given]
                block = self.step(rows)
                yield Chunk(samples(), [row.moved(seconds=-begin) for row in block.notes])
                last, done = block.latents, done + 1
            yield Chunk(beside(partial(self._push, last, sampled=done > 0))(), nothing)
        yield Chunk(self._decoder.finish(), nothing)

    def _read(self, prompt: Prompt, padded: Tensor) -> tuple[Notes | None, Tensor]:
        """Return a prompt's notes, where the codec reads notes, and its profile."""
        if not self._codec.reads_notes:
            return None, self._codec.profile(padded, None)
        notes = prompt.notes
        if notes is None:
            found = transcribe(prompt.waveform)
            with torch.inference_mode(False):  # refining follows a gradient
                notes = self._codec.refine(padded.clone(), found, self._codec.profile(padded.clone(), found))
        return notes, self._codec.profile(padded, notes)

    @torch.inference_mode()
    def _push(self, latents: Latents, *, sampled: bool = False) -> Tensor:
        assert self._decoder is not None
        return self._decoder.push(latents, sampled=sampled)


@contextmanager
def _beside(device: str) -> Iterator[Callable[[Callable[[], T]], Callable[[], T]]]:
    """Yield a function that starts work in a second thread and returns a function that waits for its result.

    On a CPU each of the two computes with half of torch's threads; with one thread, or on a GPU, the work starts when
    its result is asked for.
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
