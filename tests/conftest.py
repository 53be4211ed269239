"""What every test shares: a cache of its own, small recordings, and a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import settings

from tests import chromium
from waveforms import SAMPLE_RATE
from waveforms.audio.marks import Mark
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.dsp.phase import PhaseRecovery
from waveforms.dsp.spectra import FRAME_PADDING, MAGNITUDE_FLOOR, to_frames

# The same examples every time, and no deadline: a test's verdict must not depend on the machine's mood.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's cache, and from other tests'."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("QUARTERWAVE_CACHE", str(folder))
    return folder


def noise(n_samples: int, n_channels: int = 1, *, seed: int = 0, gain: float = 0.1) -> np.ndarray:
    """Make white noise below full scale, (n_samples, n_channels)."""
    waveform = np.random.default_rng(seed).uniform(-1.0, 1.0, (n_samples, n_channels))
    return (gain * waveform).astype(np.float32)


def read_labels(path: Path) -> list[Mark]:
    """Read an Audacity label file."""
    lines = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    spans = ((round(float(start) * SAMPLE_RATE), round(float(end) * SAMPLE_RATE), label) for start, end, label in lines)
    return [Mark(start, label, end - start) for start, end, label in spans]


def resynthesised(waveform: np.ndarray, n_iterations: int = 16) -> np.ndarray:
    """Recover a waveform from its log magnitudes, (n_samples,) -> whole blocks of it."""
    n_whole = len(waveform) // BLOCK_SIZE * BLOCK_SIZE
    padded = torch.nn.functional.pad(torch.from_numpy(waveform), FRAME_PADDING)[: n_whole + sum(FRAME_PADDING)]
    recovery = PhaseRecovery(n_iterations)
    wanted = to_frames(padded).abs().clamp(min=MAGNITUDE_FLOOR).log()
    return torch.cat([recovery.push(wanted), recovery.finish()]).numpy()


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a recording into tmp_path: record(name, waveform, sample_rate=..., ...)."""

    def write(name: str, waveform: np.ndarray | None = None, sample_rate: int = 44_100, **kind: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, noise(30_000) if waveform is None else waveform, sample_rate, **kind)
        return path

    return write


@pytest.fixture(scope="session")
def any_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    """The one browser of all tests."""
    folders = tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads")
    with chromium.Chromium(chromium.installed(), *folders) as browser:
        browser.offline()
        yield browser


@pytest.fixture
def browser(any_browser: chromium.Chromium) -> Iterator[chromium.Chromium]:
    """A browser without a network, of which no page may ask for one or complain."""
    any_browser.requests.clear()
    any_browser.complaints.clear()
    yield any_browser
    any_browser.resize(1000, 700)
    assert not any_browser.complaints
    assert all(request.startswith(("file:", "blob:", "data:")) for request in any_browser.requests)
