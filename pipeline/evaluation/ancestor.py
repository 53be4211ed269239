"""The anchor `classic`: the ancestor's model, trained once on the reference, and kept in the cache.

reference -> digest of its sound, the settings and the version here -> <cache>/anchors/<digest>.safetensors
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from pipeline.checkpoint import Checkpoint
from pipeline.config import BEST, Settings, preset_named
from pipeline.errors import EvaluationError
from pipeline.evaluation.pruning import drop_oldest
from pipeline.migrations import FORMAT
from pipeline.training.begin import begin
from pipeline.training.loop import train
from pipeline.training.progress import Progress
from waveforms.corpus import Corpus, cache

_VERSION = 1  # a change of what the preset means makes a new anchor
_N_STEPS = 75
_MOST_BYTES = 300 * 10**6  # in the cache: three anchors of 93 MB


def anchor_settings() -> Settings:
    """What the anchor is trained with: the preset, for as few steps as make its distance stable."""
    return preset_named("classic").with_values({"steps": _N_STEPS, "validate_every": _N_STEPS})


def place_of(corpus: Corpus, settings: Settings) -> Path:
    """Where the cache keeps the anchor of a corpus, wherever that is: it depends on names, works and sound."""
    content = [
        _VERSION,
        FORMAT,
        settings.to_json(),
        [[recording.name, recording.work, recording.findings.digest] for recording in corpus],
    ]
    digest = hashlib.blake2b(json.dumps(content).encode(), digest_size=20).hexdigest()
    return cache.root() / "anchors" / f"{digest}.safetensors"


def train_anchor(corpus: Corpus, settings: Settings, path: Path, advanced: Callable[[int], None]) -> None:
    """Train the anchor and keep it, with the two that were used last.

    Args:
        corpus: to learn from, but for what is held out.
        settings: `anchor_settings()`.
        path: where to keep it.
        advanced: called with 1 after each step.

    Raises:
        CorpusError: the corpus cannot be split.
        EvaluationError: the cache cannot be written.
        KeyboardInterrupt: training was stopped; nothing is kept.
    """
    watcher = _Counting(advanced)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            outcome = train(begin(corpus, settings, None, watcher), corpus, Path(folder), watcher)
            if outcome.reason == "stopped":
                raise KeyboardInterrupt
            os.replace(Path(folder) / BEST, path)
            drop_oldest(path.parent, _MOST_BYTES)
    except OSError as error:
        raise EvaluationError(
            f"{path}: cannot be written ({error.strerror}); set QUARTERWAVE_CACHE to a folder with room"
        ) from error


class _Counting:
    """Tells of steps and of nothing else."""

    def __init__(self, advanced: Callable[[int], None]) -> None:
        self._advanced = advanced

    def listening(self, done: float, total: float) -> None:
        pass

    def fitting(self, done: int, total: int) -> None:
        pass

    def started(self, progress: Progress, n_steps: int) -> None:
        pass

    def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
        self._advanced(1)

    def validated(self, row: dict[str, float], run: Checkpoint, is_best: bool) -> None:
        pass

    def noted(self, sentence: str) -> None:
        pass
