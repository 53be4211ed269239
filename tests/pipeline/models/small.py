"""Small models and music for them to read."""

import numpy as np
import torch
from torch import Generator, Tensor, nn

from pipeline.codecs import Latents
from pipeline.codecs.events import EventBatch, encode
from pipeline.codecs.piano import PianoCodec
from pipeline.config import PRESETS
from pipeline.models import Blocks, make_model
from pipeline.models.notes_first import NotesFirst
from tests.pipeline.conftest import TINY_CODES, TINY_FLOW
from waveforms.notes.events import Notes

VALUES = {"flow": TINY_FLOW, "codes": TINY_CODES}
N_PATCHES, DIMS = 5, 8


def codec() -> PianoCodec:
    """Of which nothing is fitted."""
    return PianoCodec(PRESETS["flow"].with_values(TINY_FLOW).codec)  # type: ignore[arg-type]


def model(preset: str = "flow", **values: object) -> NotesFirst:
    """Whose last layers are at work: fresh ones are silent."""
    torch.manual_seed(0)
    made = make_model(PRESETS[preset].with_values(VALUES[preset] | values), codec())
    assert isinstance(made, NotesFirst)
    for weight in made.parameters():
        nn.init.normal_(weight, std=0.3)
    made.residual.std.fill_(1.4)
    return made.eval()


def music(seed: int, n_blocks: int, n_each: float = 2.5) -> Notes:
    """Notes of any time, pitch, velocity and length."""
    rng = np.random.default_rng(seed)
    n = round(n_each * n_blocks)
    onsets = rng.uniform(0, n_blocks / 4, n)
    return Notes.of(
        (onset, onset + rng.uniform(0.05, 2), int(rng.integers(21, 109)), float(rng.integers(1, 128)))
        for onset in onsets.tolist()
    )


def events_of(rows: list[Notes], n_blocks: int, first: int = 0) -> EventBatch:
    return EventBatch.of([encode(notes, first, n_blocks) for notes in rows])


def latents(n_rows: int, n_blocks: int, seed: int = 0, conditioning_dims: int = DIMS) -> Latents:
    """Normal numbers."""
    generator = Generator().manual_seed(seed)

    def numbers(size: int) -> Tensor:
        return torch.randn(n_rows, n_blocks, N_PATCHES, size, generator=generator)

    return Latents(numbers(DIMS), None, numbers(conditioning_dims))


def blocks(rows: list[Notes], n_blocks: int, n_sound: int | None = None) -> Blocks:
    """Rows of notes, of which the first `n_sound`, or all, have sound."""
    return Blocks(latents(len(rows) if n_sound is None else n_sound, n_blocks), events_of(rows, n_blocks))
