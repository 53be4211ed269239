"""Next blocks of held-out recordings, heard: which are predicted, and how far each is from the real one.

real past -> predictor -> next element -> decoder, behind the real past -> block <-> the real next block
"""

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.evaluate.prediction.log_spectral import floor_below, log_spectral_distance
from pipeline.settings import Sampling
from pipeline.windows import read_blocks
from waveforms import BLOCK_SIZE
from waveforms.corpus import Corpus

Place = tuple[int, int]  # of a block: which recording, and its number there

N_HEARD = 4  # blocks of the real past that the decoder reads before the predicted one: 1 s, more than any join reaches


def places(held_out: Corpus, n_most: int, rng: np.random.Generator) -> list[Place]:
    """Blocks to predict, each as (recording, its number there), all that have one before them equally likely."""
    every = [(index, n) for index, recording in enumerate(held_out) for n in range(1, recording.n_blocks)]
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
    checkpoint: Checkpoint, held_out: Corpus, length: int, batch: list[Place], generator: Generator
) -> npt.NDArray[np.float64]:
    """Distances from the real next blocks: of the prediction, the mean, the repeat, the real one, (batch, 4)."""
    representation = checkpoint.representation
    before, after = representation.margins
    extended = torch.stack(
        [read_blocks(held_out[index], n - length, length + 1, representation.margins) for index, n in batch]
    ).to(generator.device)
    elements = representation.transform(extended)  # (batch, length + 1, dim)
    past, real = elements[:, :-1], elements[:, -1]
    predicted, _ = checkpoint.predictor.step(checkpoint.predictor.start(past), generator, Sampling())
    nexts = torch.stack([predicted, torch.zeros_like(real), past[:, -1], real])  # the mean of what is standardised: 0
    blocks = _decoded(checkpoint, past[:, -N_HEARD:], nexts)
    waveform = extended[:, before : extended.shape[1] - after]
    floor = floor_below(waveform[:, -(N_HEARD + 1) * BLOCK_SIZE :])
    distances = log_spectral_distance(blocks, waveform[:, -BLOCK_SIZE:], floor.expand(4, -1))
    return distances.T.double().cpu().numpy()


def _decoded(checkpoint: Checkpoint, past: Tensor, nexts: Tensor) -> Tensor:
    """Each next element, decoded behind its past.

    Shape:
        (batch, n_heard, dim), (n, batch, dim) -> (n, batch, BLOCK_SIZE)
    """
    decoder = checkpoint.representation.decoder()
    decoder.push(past.repeat(len(nexts), 1, 1))
    pieces = [decoder.push(nexts.flatten(0, 1)[:, None]), decoder.finish()]
    return torch.cat(pieces, dim=-1)[:, -BLOCK_SIZE:].reshape(*nexts.shape[:2], BLOCK_SIZE)
