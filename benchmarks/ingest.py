"""From files to what a model reads: ours, the ancestor's way, and what decoding alone costs."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clock import median_seconds, timed
from benchmarks.figures import Figure, Reference, Target
from benchmarks.peers.ancestor import load_training_examples
from pipeline.codecs import Codec, make_codec
from pipeline.config import preset_named
from pipeline.training.lanes import prefetch
from pipeline.training.pieces import excerpts, pieces_of
from waveforms.corpus import Corpus
from waveforms.dsp.blocks import n_blocks_of


def measure(folder: Path, paths: Sequence[Path], n_rounds: int) -> list[Figure]:
    """Rates of ingest.

    Args:
        folder: that holds nothing else.
        paths: the recordings in it.
        n_rounds: counted ones.
    """
    settings = preset_named("classic").codec
    codec = make_codec(settings)
    corpus = Corpus.open(folder)
    pieces = pieces_of(corpus, codec)

    def survey() -> None:
        shutil.rmtree(os.environ["QUARTERWAVE_CACHE"])  # what is known of recordings lies there
        Corpus.open(folder)

    def decode() -> None:
        for _ in excerpts(pieces, codec.margins):
            pass

    def encode(codec: Codec) -> None:
        for excerpt in prefetch(excerpts(pieces, codec.margins)):  # as training reads
            codec.encode(excerpt.waveform[None], None, None)

    def prepare() -> None:
        fresh = make_codec(settings)
        fresh.fit(prefetch(excerpts(pieces, fresh.margins)))
        encode(fresh)

    works = {
        "survey": timed(survey),
        "decode": timed(decode),
        "encode": timed(lambda: encode(codec)),
        "prepare": timed(prepare),
        "ancestor": timed(lambda: load_training_examples(paths)),
    }
    n_blocks = sum(n_blocks_of(recording.n_samples) for recording in corpus)
    rates = {name: n_blocks / seconds for name, seconds in median_seconds(works, n_rounds).items()}
    decoding, ancestor = Reference("decoding", rates["decode"]), Reference("ancestor", rates["ancestor"])
    real_time = corpus.seconds / n_blocks
    return [
        Figure("ingest", "fit and encode", rates["prepare"], "blocks/s", peer=ancestor, target=Target("ratio", 10)),
        Figure("ingest", "encode", rates["encode"], "blocks/s", limit=decoding, target=Target("share", 0.5)),
        Figure("ingest", "encode", rates["encode"] * real_time, "times real time"),
        Figure("ingest", "first survey of a folder", rates["survey"], "blocks/s", limit=decoding),
    ]
