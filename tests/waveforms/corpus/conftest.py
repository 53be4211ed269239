"""What the tests of this room share."""

from collections.abc import Callable
from pathlib import Path

from tests.conftest import noise
from waveforms.corpus import Corpus


def names(corpus: Corpus) -> list[str]:
    return [recording.name for recording in corpus]


def several(record: Callable[..., Path], n_recordings: int, prefix: str = "", seed: int = 0) -> None:
    for i in range(n_recordings):
        record(f"{prefix}{i:02}.wav", noise(22_050 + i, seed=seed + i))
