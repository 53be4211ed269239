"""The checkpoint that comes along, as a person meets it who has trained nothing."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.cli.main import main
from waveforms import SAMPLE_RATE

CHECKPOINTS = Path(__file__).parents[3] / "checkpoints"


def test_it_is_small_and_has_a_card() -> None:
    assert (CHECKPOINTS / "piano.safetensors").stat().st_size < 60e6
    assert "## What it cannot do" in (CHECKPOINTS / "piano.md").read_text()


def test_clips_can_be_had_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/piano.safetensors").symlink_to(CHECKPOINTS / "piano.safetensors")
    monkeypatch.chdir(tmp_path)
    assert main(["generate", "--clips=2", "--seconds=2", "--seed=5", "--no-pictures"]) == 0
    for n in (1, 2):
        waveform, rate = soundfile.read(f"clips/clip-5-{n}.wav")
        assert (rate, len(waveform)) == (SAMPLE_RATE, 2 * SAMPLE_RATE)
        assert 1e-3 < np.sqrt(np.mean(waveform**2)) < 0.5
