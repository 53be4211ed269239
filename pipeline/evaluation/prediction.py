"""How well a checkpoint predicts the next block of recordings that it has never seen: its skill.

Against two baselines that learn nothing, the mean and a repetition: by the loss, as training reports it; and in sound,
where codecs can be compared, by the distance of the decoded block from the real one.

real blocks -> session -> next block -> decoder, behind the real blocks -> log-spectral distance <- the real next block
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor

from pipeline.checkpoint import Checkpoint
from pipeline.codecs import Codec, Latents
from pipeline.errors import EvaluationError
from pipeline.evaluation.report import Value
from pipeline.evaluation.statistics import bootstrap
from pipeline.session import LEAD_IN, Session
from pipeline.training.lanes import encode_batch, read_batch
from pipeline.training.pieces import Piece, Span, fitted_to, held_out_rows, pieces_of
from pipeline.training.validation import skill, validate
from waveforms.corpus import Corpus
from waveforms.dsp.spectra import to_frames
from waveforms.notes.events import Notes

Sums = npt.NDArray[np.float64]  # of one recording: figures summed over its blocks, and last how many blocks
Place = tuple[int, int]  # of a block: which recording, and its number there
NO_NOTES = Notes.of([])

_DEPTH = 60.0  # dB below the loudest frequency, where the floor lies: sound further down is masked
_FAINTEST = 1e-6  # power of the loudest, re a sine at full scale: fainter sound counts as silence


def measure_skill(
    checkpoint: Checkpoint,
    corpus: Corpus,
    *,
    n_sequences: int = 128,
    seed: int = 0,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> dict[str, Value]:
    """Measure a checkpoint's skill on its held-out recordings.

    Where a model samples the next block, one sample is decoded. A sample is further from the real block than a guess
    is, by nature: two plausible next blocks differ from each other as much as each differs from the real one, and a
    guess lies in their middle, where no music is. So compare the distance of a sample with that of another sample.

    Args:
        checkpoint: its `split` names the held-out recordings.
        corpus: holds these recordings.
        n_sequences: how many blocks are predicted and decoded, each from up to `sequence_blocks` before it.
        seed: seeds the choice of blocks, sampling and resampling.
        progress: called with (parts done, parts in all) after each.

    Returns:
        {id of a metric: value}; intervals resample the recordings.

    Raises:
        EvaluationError: the corpus lacks a held-out recording, or they have nothing to predict.
    """
    fabric = Fabric(accelerator="auto", devices=1)
    session = Session(checkpoint.model, checkpoint.codec, fabric.device.type)
    held_out = fitted_to(pieces_of(_held_out(checkpoint, corpus), checkpoint.codec), checkpoint.codec)
    rng = np.random.default_rng(seed)
    batches = list(_batches(_places(held_out, n_sequences, rng), checkpoint))
    n_parts = len(held_out) + len(batches)
    losses, distances = [], [np.zeros(4) for _ in held_out]
    for n_done, sums in enumerate(_losses(checkpoint, held_out, fabric), start=1):
        losses.append(sums)
        progress(n_done, n_parts)
    for n, (length, places) in enumerate(batches):
        spans = [Span(held_out[index], at - length, length + 1, 0) for index, at in places]
        found = next_block_distances(session, checkpoint.codec, spans, fabric.device, seed=int(rng.integers(2**63)))
        for (index, _), row in zip(places, found, strict=True):
            distances[index] += row
        progress(len(held_out) + n + 1, n_parts)
    counts = np.bincount([index for _, places in batches for index, _ in places], minlength=len(held_out))
    return _values(losses, [np.append(*pair) for pair in zip(distances, counts, strict=True)], seed)


@torch.inference_mode()
def next_block_distances(
    session: Session, codec: Codec, spans: Sequence[Span], device: torch.device, *, seed: int
) -> npt.NDArray[np.float64]:
    """Predict the last block of spans from those before it.

    Args:
        session: runs the model.
        codec: of the model.
        spans: two blocks or more each, all of one length.
        device: of the model and the codec.
        seed: seeds sampling.

    Returns:
        (n_spans, 4), the log-spectral distances of the prediction, of the mean, of the block before it and of the real
        block itself, each encoded and decoded, from the real block. The mean of a codec that reads notes is the sound
        to be expected if no note begins.
    """
    length = spans[0].n_blocks - 1
    read = read_batch([[span] for span in spans], codec)
    waveforms = torch.stack(read.waveforms)
    whole = encode_batch(read, codec, device).latents
    context = encode_batch(read_batch([[span._replace(n_blocks=length)] for span in spans], codec), codec, device)
    profiles = whole.latent.new_zeros(len(spans), 0) if read.profiles is None else read.profiles[:, 0].to(device)
    notes = [_known_notes(span, codec.block_seconds) for span in spans]
    session.prime_encoded(context, profiles, notes, seed=seed)
    decoder = codec.decoder(profiles)
    decoder.expect(notes, length)
    mean = decoder.expect([NO_NOTES] * len(spans))
    lead_in = context.latents.blocks(slice(max(length - LEAD_IN, 0), None))
    last, real = whole.blocks(slice(length - 1, length)), whole.blocks(slice(length, None))
    guesses = (session.step().latents, mean, last, real)
    blocks = torch.stack([_decoded(codec, profiles, lead_in, each) for each in guesses])
    n_before, n_after = codec.padding
    sound = waveforms[:, n_before : waveforms.shape[1] - n_after].to(device)
    floor = floor_below(sound[:, -(LEAD_IN + 1) * codec.block_size :])
    distances = log_spectral_distance(blocks, sound[:, -codec.block_size :], floor.expand(len(blocks), -1))
    return distances.T.double().cpu().numpy()


def floor_below(waveform: Tensor) -> Tensor:
    """The power below which all counts as equal, 60 dB below the loudest frequency of the loudest frame.

    Shape:
        (..., n_samples) -> (...)
    """
    loudest: Tensor = _power(waveform).amax((-2, -1))
    return loudest.clamp_min(_FAINTEST) * 10 ** (-_DEPTH / 10)


def log_spectral_distance(waveform: Tensor, real: Tensor, floor: Tensor) -> Tensor:
    """The RMS difference of two log power spectra over all frames and frequencies, in dB.

    Gray & Markel, "Distance measures for speech processing" (1976). Frames of 2048 samples (46 ms) under a Hann
    window every 441 (10 ms), all of them inside the waveforms. Without a floor the logarithm would give most weight to
    inaudible noise.

    Args:
        waveform: the prediction.
        real: the waveform that it is compared with.
        floor: `floor_below` the real waveform and its surroundings.

    Shape:
        (..., n_samples), (..., n_samples), (...) -> (...)
    """
    difference = _decibels(waveform, floor) - _decibels(real, floor)
    return difference.square().mean((-2, -1)).sqrt()


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


def _places(held_out: Sequence[Piece], n_most: int, rng: np.random.Generator) -> list[Place]:
    """Blocks to predict, all that have one before them equally likely."""
    every = [(index, at) for index, piece in enumerate(held_out) for at in range(1, piece.n_blocks)]
    return [every[i] for i in sorted(rng.choice(len(every), min(n_most, len(every)), replace=False))]


def _batches(places: list[Place], checkpoint: Checkpoint) -> Iterator[tuple[int, list[Place]]]:
    """Places with equally many blocks of context, at most `batch_size` at a time."""
    settings = checkpoint.settings.training

    def length_of(place: Place) -> int:
        """The longest context of training, or its half, quarter, ...: as much as there is, in few lengths."""
        length = settings.sequence_blocks
        while length > place[1]:
            length //= 2
        return length

    for length, group in groupby(sorted(places, key=length_of), length_of):
        members = list(group)
        for at in range(0, len(members), settings.batch_size):
            yield length, members[at : at + settings.batch_size]


def _losses(checkpoint: Checkpoint, held_out: list[Piece], fabric: Fabric) -> Iterator[Sums]:
    """Yield a recording's loss, that of the mean and that of the repeat, times its blocks, and its blocks."""
    settings = checkpoint.settings.training
    most = max(settings.validation_sequences // len(held_out), 1)
    for piece in held_out:
        rows = held_out_rows([piece], settings.sequence_blocks, most)
        row = validate(checkpoint.model, checkpoint.codec, rows, fabric)
        n_blocks = sum(span.n_blocks for each in rows for span in each)
        yield n_blocks * np.array([row["loss"], row["mean"], row["repeat"], 1.0])


def _known_notes(span: Span, block_seconds: float) -> Notes:
    """The notes that are known before the last block of a span, in seconds from its first."""
    if span.piece.notes is None:
        return NO_NOTES
    end = (span.first + span.n_blocks - 1) * block_seconds
    return span.piece.notes.between(-np.inf, end).moved(seconds=-span.first * block_seconds)


def _decoded(codec: Codec, profiles: Tensor, lead_in: Latents, block: Latents) -> Tensor:
    """A block decoded behind the blocks before it, (n_rows, block_size)."""
    decoder = codec.decoder(profiles)
    decoder.push(lead_in)
    return torch.cat([decoder.push(block), decoder.finish()], dim=-1)[:, -codec.block_size :]


def _values(losses: list[Sums], distances: list[Sums], seed: int) -> dict[str, Value]:
    losses, distances = ([sums for sums in every if sums[-1]] for every in (losses, distances))

    def mean(of: int) -> Callable[[list[Sums]], float]:
        return lambda some: float(sum(s[of] for s in some) / sum(s[-1] for s in some))

    def against(baseline: int) -> Callable[[list[Sums]], float]:
        return lambda some: skill(mean(0)(some), mean(baseline)(some))

    return {
        "skill_mean": bootstrap(against(1), losses, seed=seed),
        "skill_repeat": bootstrap(against(2), losses, seed=seed),
        "skill_decoded_mean": bootstrap(against(1), distances, seed=seed),
        "skill_decoded_repeat": bootstrap(against(2), distances, seed=seed),
        "skill_distance": bootstrap(mean(0), distances, seed=seed),
        "skill_distance_of_real": bootstrap(mean(3), distances, seed=seed),
    }


def _decibels(waveform: Tensor, floor: Tensor) -> Tensor:
    return 10 * torch.maximum(_power(waveform), floor[..., None, None]).log10()


def _power(waveform: Tensor) -> Tensor:
    """(..., n_samples) -> (..., n_frames, n_bins), 1 for a sine at full scale."""
    return to_frames(waveform).abs().square()
