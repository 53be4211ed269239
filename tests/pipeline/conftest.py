"""A tiny corpus of synthetic notes, and settings with which a model of it trains in a second."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.settings import Settings, preset_named
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus

TINY = {"layers": 1, "width": 16, "steps": 12, "batch_size": 4, "sequence_blocks": 6, "warmup_steps": 2}
TINY_FLOW = TINY | {"dims": 8, "guide": 8, "flow_width": 16, "flow_depth": 1, "draw_steps": 2}
TINY_CODES = TINY | {"dims": 8, "guide": 8, "code_width": 16, "codes": 8, "stages": 2}


def melody(seed: int, seconds: float) -> np.ndarray:
    """Decaying notes of a pentatonic scale, four a second, (n_samples,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    waveform = np.zeros_like(time)
    for onset in np.arange(0, seconds, 0.25):
        frequency = 220 * 2 ** (rng.choice([0, 2, 4, 7, 9, 12]) / 12)
        since = (time - onset).clip(0)
        waveform += 0.2 * np.sin(2 * np.pi * frequency * since) * np.exp(-6 * since) * (time >= onset)
    return waveform.astype(np.float32)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of 3 to 7 s; one of them only a little longer than two blocks."""
    folder = tmp_path_factory.mktemp("recordings")
    for n, seconds in enumerate([3.0, 4.1, 0.6, 7.0, 5.33]):
        soundfile.write(folder / f"melody_{n}.wav", melody(n, seconds), SAMPLE_RATE)
    return folder


@pytest.fixture
def corpus(folder: Path) -> Iterator[Corpus]:
    return Corpus.open(folder)


@pytest.fixture
def tiny() -> Settings:
    return preset_named("classic").with_values(TINY | {"validate_every": 4})


@pytest.fixture
def tiny_flow() -> Settings:
    return preset_named("flow").with_values(TINY_FLOW | {"validate_every": 4})


def as_flags(values: Mapping[str, object]) -> list[str]:
    """Settings as the command line takes them."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
