"""Optimiser steps of our networks on random sequences in memory."""

import numpy as np
import torch

from benchmarks.clock import Work, timed
from benchmarks.costs import products_of
from benchmarks.limits import DTYPES
from benchmarks.recordings import random_notes
from pipeline.codecs import Codec, Sound, make_codec
from pipeline.codecs.events import BLOCK_SECONDS, EventBatch, encode
from pipeline.config import Settings, note_rows
from pipeline.distributed import keep_freed_memory
from pipeline.models import Latents, make_model
from pipeline.models.base import total_of
from pipeline.training.loop import make_optimiser


class Trainer:
    """A network with its optimiser, stepped at any batch size and precision.

    Args:
        settings: all of them.
        device: "cpu" or "cuda".
    """

    def __init__(self, settings: Settings, device: str = "cpu") -> None:
        keep_freed_memory()  # as training does
        self.settings, self._device = settings, torch.device(device)
        self._codec = make_codec(settings.codec)
        self._model = make_model(settings, self._codec).to(device).train()
        self._optimiser = make_optimiser(self._model, settings.training)

    def step(self, batch: int, precision: str) -> Work:
        """An optimiser step."""
        latents = random_latents(self._with(batch), self._codec, self._device)
        state = self._model.start(latents.n_rows)

        def step() -> None:
            with torch.autocast(self._device.type, DTYPES[precision], enabled=precision != "float32"):
                losses, _ = self._model.loss(latents, state)
            total_of(losses).backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
            self._optimiser.zero_grad()

        return timed(step)

    def step_flops(self, batch: int) -> int:
        """Operations of a step."""
        return products_of(self._with(batch)).step_flops

    def _with(self, batch: int) -> Settings:
        return self.settings.with_values({"batch_size": batch})


def random_latents(settings: Settings, codec: Codec, device: torch.device) -> Latents:
    """A training step's sequences, with the notes of `benchmarks.recordings` where the codec reads notes."""
    n_rows, n_blocks = settings.training.batch_size, settings.training.sequence_blocks
    latent = torch.randn(n_rows, n_blocks, codec.n_slices, codec.dims, device=device)
    if not codec.reads_notes:
        return Latents(Sound(latent), None)
    expected = torch.randn(n_rows, n_blocks, codec.n_slices, codec.expected_dims, device=device)
    of_rows = [
        random_notes(np.random.default_rng(n), n_blocks * BLOCK_SECONDS) for n in range(n_rows + note_rows(settings))
    ]
    events = EventBatch.of([encode(notes, 0, n_blocks) for notes in of_rows]).to(device)
    return Latents(Sound(latent, expected=expected), events)
