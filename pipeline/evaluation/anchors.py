"""Anchors: what every evaluation measures beside the user's systems, so that a number has two ends to hold it by.

real          other clips of the reference's recordings: as near as anything can be expected to come
continuation  what recordings do after the very prompts that a checkpoint's clips begin from
resynthesis   the same, encoded and decoded as the checkpoint does: as near as its codec lets it come
classic       clips of the ancestor's model (`classic`): where the gap begins that is to be closed
shuffled      blocks of the anchor real, in any order: right sound, no music
noise         white noise
silence       nothing
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.checkpoint import FORMAT
from pipeline.config import BEST, Settings, preset_named
from pipeline.errors import EvaluationError
from pipeline.evaluation.clips import Segment, Source, segments_of
from pipeline.evaluation.life import QUARTER
from pipeline.training.begin import Run
from pipeline.training.callbacks import Callback
from pipeline.training.loop import train
from pipeline.training.request import TrainRequest
from waveforms.audio import Waveform
from waveforms.corpus import Corpus, cache

ANCHORS = ("real", "continuation", "resynthesis", "classic", "shuffled", "noise", "silence")
_NOISE = 0.05  # RMS, -26 dB re full scale
_CLASSIC_VERSION = 1  # a change of what the preset means makes a new anchor
_CLASSIC_STEPS = 75  # as few as make its distance stable
_MOST_BYTES = 300 * 10**6  # in the cache: three anchors of 93 MB


def halves(sources: Sequence[tuple[Source, str]], n_samples: int) -> tuple[list[list[Segment]], list[list[Segment]]]:
    """Divide each recording: the first half of its segments is the reference's, the second the anchor's.

    Neighbours are alike, so halves touch at one place only. An odd segment goes to the reference and to the anchor in
    turn: every other recording of one segment is the reference's.

    Args:
        sources: recordings with their paths.
        n_samples: the length of a segment.

    Returns:
        the segments of the reference and of the anchor, by recording.
    """
    reference, real = [], []
    is_ours = True
    for source, path in sources:
        segments = segments_of(source, path, n_samples)
        n_first = len(segments) // 2
        if len(segments) % 2:
            n_first += is_ours
            is_ours = not is_ours
        reference.append(segments[:n_first])
        real.append(segments[n_first:])
    return reference, real


def shuffled(segments: Sequence[Segment], n_clips: int, *, seed: int) -> list[Segment]:
    """Clips of blocks from random places of other clips, joined without a fade."""
    n_samples = segments[0].n_samples
    return [Segment(f"shuffled {n + 1}", "", n_samples, partial(_shuffled, segments, seed, n)) for n in range(n_clips)]


def noise(n_clips: int, n_samples: int, *, seed: int) -> list[Segment]:
    """Clips of white noise."""
    return [Segment(f"noise {n + 1}", "", n_samples, partial(_noise, n_samples, seed, n)) for n in range(n_clips)]


def silence(n_clips: int, n_samples: int) -> list[Segment]:
    """Clips of zeros."""
    return [Segment(f"silence {n + 1}", "", n_samples, _silence) for n in range(n_clips)]


def classic_settings() -> Settings:
    """What the anchor classic is trained with."""
    return preset_named("classic").with_values({"steps": _CLASSIC_STEPS, "validate_every": _CLASSIC_STEPS})


def classic_path(corpus: Corpus, settings: Settings) -> Path:
    """Where the cache keeps the anchor of a corpus, wherever that lies: it depends on names, works and sound."""
    content = [
        _CLASSIC_VERSION,
        FORMAT,
        settings.to_json(),
        [[recording.name, recording.work, recording.findings.digest] for recording in corpus],
    ]
    digest = hashlib.blake2b(json.dumps(content).encode(), digest_size=20).hexdigest()
    return cache.root() / "anchors" / f"{digest}.safetensors"


def train_classic(corpus: Corpus, settings: Settings, path: Path, advanced: Callable[[int], None]) -> None:
    """Train the anchor classic and keep it, with the two that were used last.

    Args:
        corpus: the reference; what it holds out is not trained on.
        settings: `classic_settings()`.
        path: of its checkpoint in the cache.
        advanced: called with 1 after each step.

    Raises:
        CorpusError: the corpus cannot be split.
        EvaluationError: the cache cannot be written.
        KeyboardInterrupt: training was stopped; nothing is kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            request = TrainRequest(corpus.places, folder, settings)
            outcome = train(request, [_StepCounter(advanced)], corpus=corpus)
            if outcome.reason == "stopped":
                raise KeyboardInterrupt
            os.replace(Path(folder) / BEST, path)
            cache.drop_oldest(path.parent, _MOST_BYTES)
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written ({error.strerror}); set QUARTERWAVE_CACHE to a folder with room"
        ) from error


class _StepCounter(Callback):
    def __init__(self, advanced: Callable[[int], None]) -> None:
        self._advanced = advanced

    def on_step_end(self, run: Run, loss: float) -> None:
        self._advanced(1)


def _shuffled(segments: Sequence[Segment], seed: int, n: int, start: int, stop: int) -> Waveform:
    rng = np.random.default_rng([seed, 1, n])
    n_blocks = segments[0].n_samples // QUARTER
    blocks = []
    for _ in range(n_blocks):
        first = int(rng.integers(n_blocks)) * QUARTER
        blocks.append(segments[int(rng.integers(len(segments)))].read_part(first, first + QUARTER))
    return np.concatenate(blocks)[start:stop]


def _noise(n_samples: int, seed: int, n: int, start: int, stop: int) -> Waveform:
    return np.random.default_rng([seed, 2, n]).normal(0.0, _NOISE, n_samples).astype(np.float32)[start:stop]


def _silence(start: int, stop: int) -> Waveform:
    return np.zeros(stop - start, np.float32)
