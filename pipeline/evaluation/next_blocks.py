"""Next blocks of held-out recordings, heard: which are predicted, and how far each is from the real one.

real past -> model -> next block -> player, behind the real past -> samples <-> the real next block
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.codecs import Codec, Latents
from pipeline.config import Sampling
from pipeline.evaluation.log_spectral import floor_below, log_spectral_distance
from pipeline.training.lanes import encode_batch, read_batch
from pipeline.training.pieces import Piece, Stretch
from waveforms.notes.events import Notes

Place = tuple[int, int]  # of a block: which recording, and its number there

N_HEARD = 4  # blocks of the real past that the decoder reads before the predicted one: 1 s, more than any join reaches


def places(held_out: Sequence[Piece], n_most: int, rng: np.random.Generator) -> list[Place]:
    """Blocks to predict, each as (recording, its number there), all that have one before them equally likely."""
    every = [(index, n) for index, piece in enumerate(held_out) for n in range(1, piece.n_blocks)]
    return [every[i] for i in sorted(rng.choice(len(every), min(n_most, len(every)), replace=False))]


def batches(places: list[Place], checkpoint: Checkpoint) -> Iterator[tuple[int, list[Place]]]:
    """Places with a past of one length, at most `batch_size` at a time."""
    settings = checkpoint.settings.training

    def length_of(place: Place) -> int:
        """The whole past that training knows, or its half, quarter, ...: as much as there is, in few lengths."""
        length = settings.sequence_blocks
        while length > place[1]:
            length //= 2
        return length

    for length, group in groupby(sorted(places, key=length_of), length_of):
        members = list(group)
        for at in range(0, len(members), settings.batch_size):
            yield length, members[at : at + settings.batch_size]


@torch.inference_mode()
def distances(
    checkpoint: Checkpoint, held_out: Sequence[Piece], length: int, batch: list[Place], generator: Generator
) -> npt.NDArray[np.float64]:
    """Distances from the real next blocks: of the prediction, the mean, the repeat, the real one, (batch, 4).

    The mean of a codec that reads notes is what goes on sounding if no note begins.
    """
    model, codec, device = checkpoint.model, checkpoint.codec, generator.device
    read = read_batch([[Stretch(held_out[index], n - length, length + 1, 0)] for index, n in batch], codec)
    whole = encode_batch(read, codec, device).latents
    past = encode_batch(
        read_batch([[Stretch(held_out[index], n - length, length, 0)] for index, n in batch], codec),
        codec,
        device,
    )
    profiles = whole.latent.new_zeros(len(batch), 0) if read.profiles is None else read.profiles[:, 0].to(device)
    notes = [_notes(held_out[index], n - length, length, codec.block_seconds) for index, n in batch]
    nothing = [Notes.of([])] * len(batch)
    decoder = codec.decoder(profiles)
    decoder.expect(notes, length)
    mean = decoder.expect(nothing)
    decoder = codec.decoder(profiles)
    decoder.expect(notes, length)
    predicted, _ = model.step(model.prime(past), decoder, generator, Sampling())
    last, real = slice(length - 1, length), slice(length, length + 1)
    nexts = [predicted.latents, mean, whole.blocks(last), whole.blocks(real)]
    heard = past.latents.blocks(slice(max(length - N_HEARD, 0), None))
    blocks = torch.stack([_decoded(codec, profiles, heard, each) for each in nexts])
    before, after = codec.padding
    extended = torch.stack(read.waveforms).to(device)
    waveform = extended[:, before : extended.shape[1] - after]
    floor = floor_below(waveform[:, -(N_HEARD + 1) * codec.block_size :])
    distances = log_spectral_distance(blocks, waveform[:, -codec.block_size :], floor.expand(4, -1))
    return distances.T.double().cpu().numpy()


def _notes(piece: Piece, first: int, n_blocks: int, block_seconds: float) -> Notes:
    """That are known before the block `first + n_blocks`, in seconds from block `first`."""
    if piece.notes is None:
        return Notes.of([])
    beyond = (first + n_blocks) * block_seconds
    return piece.notes.between(-np.inf, beyond).moved(seconds=-first * block_seconds)


def _decoded(codec: Codec, profiles: Tensor, heard: Latents, following: Latents) -> Tensor:
    """A block decoded behind its past, (batch, block_size)."""
    decoder = codec.decoder(profiles)
    decoder.push(heard)
    return torch.cat([decoder.push(following), decoder.finish()], dim=-1)[:, -codec.block_size :]
