"""A tiny corpus of synthetic notes, and settings with which a model of it trains in a second."""

import copy
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
from torch import Tensor

from pipeline.codecs import Example
from pipeline.codecs.base import Report
from pipeline.codecs.piano import PianoCodec
from pipeline.config import Settings, preset_named
from waveforms import SAMPLE_RATE
from waveforms.corpus import Corpus, Recording
from waveforms.corpus.notes import FoundNotes
from waveforms.dsp.blocks import BLOCK_SIZE
from waveforms.notes.events import Notes

TINY = {"layers": 1, "width": 16, "steps": 12, "batch_size": 4, "sequence_blocks": 6, "warmup_steps": 2}
TINY_PIANO = TINY | {"dims": 8, "expected_dims": 8, "fit_steps": 20, "note_width": 16, "residual_width": 16}
TINY_PIANO |= {"note_rows": 2, "residual_blocks": 4}
TINY_FLOW = TINY_PIANO | {"flow_width": 16, "flow_depth": 1, "flow_steps": 2}
TINY_CODES = TINY_PIANO | {"code_width": 16, "codes": 8, "codebooks": 2}
FITTED: dict[object, dict[str, Tensor]] = {}  # codecs by what they were fitted to
LENGTHS = (3.0, 4.1, 0.6, 7.0, 5.33)  # seconds of the recordings; one is only a little longer than two blocks


def n_blocks_of(n_samples: int) -> int:
    """Blocks of the presets that hold so many samples."""
    return -(-n_samples // BLOCK_SIZE)


def melody_notes(seed: int, seconds: float) -> Notes:
    """Notes of a pentatonic scale, four a second."""
    rng = np.random.default_rng(seed)
    onsets = np.arange(0, seconds, 0.25)
    return Notes.of((onset, onset + 0.5, 57 + int(rng.choice([0, 2, 4, 7, 9, 12])), 64) for onset in onsets.tolist())


def melody(seed: int, seconds: float) -> np.ndarray:
    """The same as sound that decays, (n_samples,)."""
    notes = melody_notes(seed, seconds)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    waveform = np.zeros_like(time)
    for onset, pitch in zip(notes.onsets, notes.pitches, strict=True):
        since = (time - onset).clip(0)
        frequency = 440 * 2 ** ((pitch - 69) / 12)
        waveform += 0.2 * np.sin(2 * np.pi * frequency * since) * np.exp(-6 * since) * (time >= onset)
    return waveform.astype(np.float32)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of LENGTHS."""
    folder = tmp_path_factory.mktemp("recordings")
    for n, seconds in enumerate(LENGTHS):
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


@pytest.fixture
def known_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the notes of melodies without a transcriber, and fit a codec to them once for all tests."""
    fit = PianoCodec.fit

    def notes_of(recording: Recording) -> FoundNotes:
        n = int(recording.name.removeprefix("melody_").removesuffix(".wav"))
        return FoundNotes(melody_notes(n, LENGTHS[n]), Path(f"melody_{n}.mid"))

    def fit_once(codec: PianoCodec, examples: Iterable[Example], report: Report) -> None:
        of_all = list(examples)
        key = codec.settings, tuple(float(example.waveform.square().sum()) for example in of_all)
        if key not in FITTED:
            fit(codec, of_all, report)
            FITTED[key] = copy.deepcopy(codec.state_dict())
        codec.load_state_dict(FITTED[key])

    monkeypatch.setattr("pipeline.training.pieces.notes_of", notes_of)
    monkeypatch.setattr(PianoCodec, "fit", fit_once)


def as_flags(values: Mapping[str, object]) -> list[str]:
    """Settings as the command line takes them."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def quarterwave(*arguments: str | Path, cwd: Path, status: int = 0) -> str:
    """Run a command; give what it printed, after checking its exit status."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pipeline", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr
