"""Anchors: what every evaluation measures beside the user's systems, so that a number has two ends to hold it by.

real          other clips of the reference's recordings: as near as anything can be expected to come
continuation  what recordings do after the very prompts that a checkpoint's clips begin from
resynthesis   the same, encoded and decoded as the checkpoint does: as near as its codec lets it come
classic       clips of the ancestor's model (`classic`): where the gap begins that is to be closed
shuffled      blocks of the anchor real, in any order: right sound, no music
noise         white noise
silence       nothing
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from pipeline.evaluation.segments import Cut, Source, cuts_of
from waveforms.audio import Waveform
from waveforms.dsp.blocks import BLOCK_SIZE

ANCHORS = ("real", "continuation", "resynthesis", "classic", "shuffled", "noise", "silence")
_NOISE = 0.05  # RMS, -26 dB re full scale


def halves(sources: Sequence[tuple[Source, str]], n_samples: int) -> tuple[list[list[Cut]], list[list[Cut]]]:
    """Part each recording's clips: the first half is the reference's, the second the anchor's.

    Neighbours are alike, so halves are apart but for one cut. An odd clip goes to the reference's side and to the
    anchor's in turn: of recordings with one clip each, every other one is whole on one side.

    Args:
        sources: recordings with their paths.
        n_samples: of a clip.

    Returns:
        the reference's cuts and the anchor's, by recording.
    """
    reference, real = [], []
    is_ours = True
    for source, path in sources:
        cuts = cuts_of(source, path, n_samples)
        n_first = len(cuts) // 2
        if len(cuts) % 2:
            n_first += is_ours
            is_ours = not is_ours
        reference.append(cuts[:n_first])
        real.append(cuts[n_first:])
    return reference, real


def shuffled(cuts: Sequence[Cut], n_clips: int, *, seed: int) -> list[Cut]:
    """Clips of blocks drawn from anywhere in other clips, joined hard."""
    n_samples = cuts[0].n_samples
    return [Cut(f"shuffled {n + 1}", "", n_samples, partial(_shuffled, cuts, seed, n)) for n in range(n_clips)]


def noise(n_clips: int, n_samples: int, *, seed: int) -> list[Cut]:
    """Clips of white noise."""
    return [Cut(f"noise {n + 1}", "", n_samples, partial(_noise, n_samples, seed, n)) for n in range(n_clips)]


def silence(n_clips: int, n_samples: int) -> list[Cut]:
    """Clips of zeros."""
    return [Cut(f"silence {n + 1}", "", n_samples, _silence) for n in range(n_clips)]


def _shuffled(cuts: Sequence[Cut], seed: int, n: int, start: int, stop: int) -> Waveform:
    rng = np.random.default_rng([seed, 1, n])
    n_blocks = cuts[0].n_samples // BLOCK_SIZE
    blocks = []
    for _ in range(n_blocks):
        first = int(rng.integers(n_blocks)) * BLOCK_SIZE
        blocks.append(cuts[int(rng.integers(len(cuts)))].part(first, first + BLOCK_SIZE))
    return np.concatenate(blocks)[start:stop]


def _noise(n_samples: int, seed: int, n: int, start: int, stop: int) -> Waveform:
    return np.random.default_rng([seed, 2, n]).normal(0.0, _NOISE, n_samples).astype(np.float32)[start:stop]


def _silence(start: int, stop: int) -> Waveform:
    return np.zeros(stop - start, np.float32)
