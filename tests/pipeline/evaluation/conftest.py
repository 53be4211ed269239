"""One evaluation through the real command line, for the tests of its report and of the command; and ramps."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.cli.main import main
from tests.pipeline.conftest import TINY, as_flags
from tests.pipeline.evaluation.playing import playing
from waveforms import SAMPLE_RATE
from waveforms.corpus.recording import Recording
from waveforms.corpus.survey import survey
from waveforms.dsp.blocks import BLOCK_SIZE

SECONDS = 3.0
N_CLIPS = 4
PLANTED = "take-1.wav", 4.0, 1.2  # from which recording, from which second on, how long


def write(path: Path, waveform: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform.astype(np.float32), SAMPLE_RATE, subtype="FLOAT")


@contextmanager
def working_in(home: Path) -> Iterator[None]:
    """Work there, with a cache that all tests of the evaluation share: of networks and of what they computed."""
    with chdir(home), pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTERWAVE_CACHE", str(home / "cache"))
        yield


@pytest.fixture
def ramp(record: Callable[..., Path]) -> Callable[[str, float], Recording]:
    """Give a function that makes a recording of so many blocks: a ramp, so that each sample shows its place."""

    def make(name: str, n_blocks: float) -> Recording:
        waveform = np.linspace(0.1, 0.9, round(n_blocks * BLOCK_SIZE), dtype=np.float32)
        return Recording(name, survey(record(name, waveform, subtype="FLOAT")))

    return make


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, a model of it, other music with a stolen excerpt, and noise."""
    home = tmp_path_factory.mktemp("home")
    for n in range(4):
        write(home / f"takes/take-{n}.wav", playing(n, 9.5))
    for n in range(N_CLIPS):
        music = playing(100 + n, SECONDS + 0.5)
        if n == 2:
            name, second, seconds = PLANTED
            stolen, _ = soundfile.read(home / "takes" / name, dtype="float32")
            start, length = round(second * SAMPLE_RATE), round(seconds * SAMPLE_RATE)
            music[SAMPLE_RATE : SAMPLE_RATE + length] = 0.5 * stolen[start : start + length]
        write(home / f"thief/clip-{n}.wav", music)
        write(home / f"hiss/clip-{n}.wav", 0.03 * np.random.default_rng(n).normal(size=round(SECONDS * SAMPLE_RATE)))
    with working_in(home):
        arguments = ["train", "takes", "--preset=classic", "--out=run", "--held-out=take-0.wav"]
        assert main([*arguments, *as_flags(TINY)]) == 0
    return home


@pytest.fixture(scope="session")
def printed(evaluated: Path) -> str:
    """What an evaluation of them all prints."""
    arguments = ["evaluate", "run", "thief", "noisy=hiss", "--reference=takes", "--trained-on=takes", "--classic=run"]
    with working_in(evaluated), redirect_stdout(io.StringIO()) as out:
        assert main([*arguments, f"--clips={N_CLIPS}", f"--seconds={SECONDS}"]) == 0
    return out.getvalue()


@pytest.fixture(scope="session")
def report(evaluated: Path, printed: str) -> dict[str, Any]:
    """Its report, as programs read it."""
    report: dict[str, Any] = json.loads((evaluated / "evaluation/report.json").read_text())
    return report


@pytest.fixture
def home(evaluated: Path, printed: str) -> Iterator[Path]:
    """Work where the evaluation is."""
    with working_in(evaluated):
        yield evaluated
