"""From files to what a model reads: here, as GRUV did it, and decoding alone; and the notes of a recording."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.figures import Figure, Reference, Target
from benchmarks.peers.ancestor import load_training_examples
from benchmarks.recordings import SECONDS
from benchmarks.timing import median_seconds, timed
from pipeline.codecs import Codec, make_codec
from pipeline.config import preset_named
from pipeline.training.lanes import prefetch
from pipeline.training.pieces import examples, pieces_of
from waveforms.audio import read
from waveforms.corpus import Corpus
from waveforms.notes.transcriber import transcribe

NOTES_SPEED = 10  # times real time, at least


def measure(folder: Path, paths: Sequence[Path], n_rounds: int) -> list[Figure]:
    """Measure how many blocks a second are surveyed, decoded, encoded and fitted.

    Args:
        folder: a folder that holds the recordings and nothing else.
        paths: the recordings.
        n_rounds: rounds that count.
    """
    settings = preset_named("classic").codec
    codec = make_codec(settings)
    corpus = Corpus.open(folder)
    pieces = pieces_of(corpus, codec)

    def survey() -> None:
        shutil.rmtree(os.environ["QUARTERWAVE_CACHE"])  # the findings about recordings lie there
        Corpus.open(folder)

    def decode() -> None:
        for _ in examples(pieces, codec):
            pass

    def encode(codec: Codec) -> None:
        for example in prefetch(examples(pieces, codec)):  # as training reads
            codec.encode(example.waveform[None], None, None)

    def prepare() -> None:
        fresh = make_codec(settings)
        fresh.fit(prefetch(examples(pieces, fresh)))
        encode(fresh)

    works = {
        "survey": timed(survey),
        "decode": timed(decode),
        "encode": timed(lambda: encode(codec)),
        "prepare": timed(prepare),
        "ancestor": timed(lambda: load_training_examples(paths)),
    }
    n_blocks = sum(codec.n_blocks_of(recording.n_samples) for recording in corpus)
    rates = {name: n_blocks / seconds for name, seconds in median_seconds(works, n_rounds).items()}
    decoding, ancestor = Reference("decoding", rates["decode"]), Reference("ancestor", rates["ancestor"])
    real_time = corpus.seconds / n_blocks
    return [
        Figure("ingest", "fit and encode", rates["prepare"], "blocks/s", peer=ancestor, target=Target("ratio", 10)),
        Figure("ingest", "encode", rates["encode"], "blocks/s", limit=decoding, target=Target("share", 0.5)),
        Figure("ingest", "encode", rates["encode"] * real_time, "times real time"),
        Figure("ingest", "first survey of a folder", rates["survey"], "blocks/s", limit=decoding),
    ]


def measure_notes(path: Path, n_rounds: int) -> list[Figure]:
    """Measure how many times faster than real time one core transcribes a recording of SECONDS."""
    waveform, n_threads = read(path), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = median_seconds({"transcribe": timed(lambda: transcribe(waveform))}, n_rounds)["transcribe"]
    finally:
        torch.set_num_threads(n_threads)
    speed = SECONDS / seconds
    return [Figure("notes", "transcribe, one core", speed, "times real time", target=Target("value", NOTES_SPEED))]
