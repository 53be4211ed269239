"""From files to what a model reads: ours, the ancestor's way, and what decoding alone costs."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clock import median_seconds, timed
from benchmarks.figures import Figure, Reference, Target
from benchmarks.peers.ancestor import load_training_examples
from pipeline.representations import Representation, make_representation
from pipeline.settings import preset_named
from pipeline.windows import prefetch, sweep
from waveforms.corpus import Corpus


def measure(folder: Path, paths: Sequence[Path], n_rounds: int) -> list[Figure]:
    """Rates of ingest.

    Args:
        folder: that holds nothing else.
        paths: the recordings in it.
        n_rounds: counted ones.
    """
    settings = preset_named("classic").representation
    corpus = Corpus.open(folder)

    def survey() -> None:
        shutil.rmtree(os.environ["QUARTERWAVE_CACHE"])  # what is known of recordings lies there
        Corpus.open(folder)

    def decode(representation: Representation) -> None:
        for _ in sweep(corpus, representation.margins):
            pass

    def transform(representation: Representation) -> None:
        for waveform in prefetch(sweep(corpus, representation.margins)):  # as training reads
            representation.transform(waveform)

    def prepare() -> None:
        representation = make_representation(settings)
        representation.fit(prefetch(sweep(corpus, representation.margins)))
        transform(representation)

    representation = make_representation(settings)
    works = {
        "survey": timed(survey),
        "decode": timed(lambda: decode(representation)),
        "transform": timed(lambda: transform(representation)),
        "prepare": timed(prepare),
        "ancestor": timed(lambda: load_training_examples(paths)),
    }
    rates = {name: corpus.n_blocks / seconds for name, seconds in median_seconds(works, n_rounds).items()}
    decoding, ancestor = Reference("decoding", rates["decode"]), Reference("ancestor", rates["ancestor"])
    real_time = corpus.seconds / corpus.n_blocks
    return [
        Figure("ingest", "fit and transform", rates["prepare"], "blocks/s", peer=ancestor, target=Target("ratio", 10)),
        Figure("ingest", "transform", rates["transform"], "blocks/s", limit=decoding, target=Target("share", 0.5)),
        Figure("ingest", "transform", rates["transform"] * real_time, "times real time"),
        Figure("ingest", "first survey of a folder", rates["survey"], "blocks/s", limit=decoding),
    ]
