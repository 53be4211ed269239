"""How well does a checkpoint predict the next block of recordings that it has never seen?

Against two models that learn nothing, always the mean and a repetition: by the loss, as training reports it; and in
sound, where codecs can be compared, after the predicted block is decoded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from lightning_fabric import Fabric
from torch import Generator

from pipeline.checkpoint import Checkpoint
from pipeline.errors import EvaluationError
from pipeline.evaluation import next_blocks
from pipeline.evaluation.report import Value
from pipeline.evaluation.statistics import bootstrap
from pipeline.training.pieces import Piece, fitted_to, held_out_rows, pieces_of
from pipeline.training.validation import skill, validate
from waveforms.corpus import Corpus

Sums = npt.NDArray[np.float64]  # of one recording: figures summed over its blocks, and last how many blocks
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Skill:
    """How well the next block of held-out recordings is predicted. Intervals resample the recordings.

    Attributes:
        n_recordings: held out.
        n_blocks: of them whose loss is known.
        n_decoded: of them decoded.
        against_mean: skill by the loss, in per cent; 0 is no better, 100 is perfect.
        against_repeat: likewise, against repeating what was before.
        distance: from the decoded prediction to the real block, log-spectral, in dB.
        distance_of_mean: from the decoded mean.
        distance_of_repeat: from the decoded last block.
        distance_of_real: from the real block, encoded and decoded: what the codec itself loses.
        decoded_against_mean: skill by distance, in per cent.
        decoded_against_repeat: likewise, against the last block again.
    """

    n_recordings: int
    n_blocks: int
    n_decoded: int
    against_mean: Value
    against_repeat: Value
    distance: Value
    distance_of_mean: Value
    distance_of_repeat: Value
    distance_of_real: Value
    decoded_against_mean: Value
    decoded_against_repeat: Value


def measure_skill(
    checkpoint: Checkpoint, corpus: Corpus, *, n_sequences: int = 128, seed: int = 0, progress: Progress | None = None
) -> Skill:
    """Measure a checkpoint's skill on its held-out recordings.

    Where a model samples the next block, one sample is decoded. A sample is further from the real block than a guess
    is, by nature: two plausible next blocks differ from each other as much as each differs from the real one, and a
    guess lies in their middle, where no music is. So hold the distance of a sample against that of another sample.

    Args:
        checkpoint: whose `split` names the held-out recordings.
        corpus: that holds them.
        n_sequences: blocks that are predicted and decoded, each from up to `sequence_blocks` before it.
        seed: of the choice of blocks, of draws and of resampling.
        progress: called with (parts done, parts in all) after each.

    Raises:
        EvaluationError: the corpus lacks a held-out recording, or they have nothing to predict.
    """
    fabric = Fabric(accelerator="auto", devices=1)
    checkpoint.model.eval().to(fabric.device)
    checkpoint.codec.to(fabric.device)
    held_out = fitted_to(pieces_of(_held_out(checkpoint, corpus), checkpoint.codec), checkpoint.codec)
    places = next_blocks.places(held_out, n_sequences, np.random.default_rng(seed))
    batches = list(next_blocks.batches(places, checkpoint))
    n_parts = len(held_out) + len(batches)
    losses, distances = [], [np.zeros(5) for _ in held_out]
    for n_done, sums in enumerate(_losses(checkpoint, held_out, fabric), start=1):
        losses.append(sums)
        if progress:
            progress(n_done, n_parts)
    generator = Generator(fabric.device).manual_seed(seed)
    for n_done, (length, batch) in enumerate(batches, start=len(held_out) + 1):
        found = next_blocks.distances(checkpoint, held_out, length, batch, generator)
        for (index, _), row in zip(batch, found, strict=True):
            distances[index] += [*row, 1]
        if progress:
            progress(n_done, n_parts)
    return _summed_up(losses, distances, seed)


def skill_values(skill: Skill) -> dict[str, Value]:
    """A checkpoint's skill, by metric."""
    return {
        "skill_mean": skill.against_mean,
        "skill_repeat": skill.against_repeat,
        "skill_decoded_mean": skill.decoded_against_mean,
        "skill_decoded_repeat": skill.decoded_against_repeat,
        "skill_distance": skill.distance,
        "skill_distance_of_real": skill.distance_of_real,
    }


def _held_out(checkpoint: Checkpoint, corpus: Corpus) -> Corpus:
    names, there = checkpoint.split["validation"], {recording.name for recording in corpus}
    if gone := [name for name in names if name not in there]:
        raise EvaluationError(
            f"{corpus.where}: must hold the recordings that the checkpoint was not trained on, and lacks "
            f"{', '.join(gone)}"
        )
    if all(recording.n_samples <= checkpoint.codec.block_size for recording in corpus.subset(names)):
        raise EvaluationError(f"{corpus.where}: a held-out recording needs two blocks, and none has more than one")
    return corpus.subset(names)


def _losses(checkpoint: Checkpoint, held_out: list[Piece], fabric: Fabric) -> Iterator[Sums]:
    """For each recording: loss, loss of the mean and of the repeat, each times blocks, and blocks."""
    settings = checkpoint.settings.training
    most = max(settings.validation_sequences // len(held_out), 1)
    for piece in held_out:
        rows = held_out_rows([piece], settings.sequence_blocks, most)
        row = validate(checkpoint.model, checkpoint.codec, rows, fabric)
        n_blocks = sum(stretch.n_blocks for each in rows for stretch in each)
        yield n_blocks * np.array([row["loss"], row["mean"], row["repeat"], 1.0])


def _summed_up(losses: list[Sums], distances: list[Sums], seed: int) -> Skill:
    losses, distances = ([sums for sums in every if sums[-1]] for every in (losses, distances))

    def mean(of: int) -> Callable[[list[Sums]], float]:
        return lambda drawn: float(sum(s[of] for s in drawn) / sum(s[-1] for s in drawn))

    def against(baseline: int) -> Callable[[list[Sums]], float]:
        return lambda drawn: skill(mean(0)(drawn), mean(baseline)(drawn))

    def value(statistic: Callable[[list[Sums]], float], sums: list[Sums]) -> Value:
        return bootstrap(statistic, sums, seed=seed)

    return Skill(
        n_recordings=len(losses),
        n_blocks=int(sum(sums[-1] for sums in losses)),
        n_decoded=int(sum(sums[-1] for sums in distances)),
        against_mean=value(against(1), losses),
        against_repeat=value(against(2), losses),
        distance=value(mean(0), distances),
        distance_of_mean=value(mean(1), distances),
        distance_of_repeat=value(mean(2), distances),
        distance_of_real=value(mean(3), distances),
        decoded_against_mean=value(against(1), distances),
        decoded_against_repeat=value(against(2), distances),
    )
