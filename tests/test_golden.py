"""What was made before stays as it was: checkpoints of format 7 load, and their clips come out the same.

The files in `golden/` were written by version 0.1.0: a tiny model of each preset, and two clips of each from one seed.
On the processor that made them clips agree to the bit; elsewhere sums are rounded in another order, so they may differ
by LARGEST_DIFFERENCE.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipeline.cli.main import main
from waveforms.notes.midi import read_midi

GOLDEN = Path(__file__).parent / "golden"
LARGEST_DIFFERENCE = 32 / 32768  # -60 dB re full scale


@pytest.mark.parametrize("preset", ["classic", "flow", "codes"])
def test_an_old_checkpoint_renders_the_same_clips(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # 8 bits, where a processor has them, give other clips
    flags = ["--seed=3", "--clips=2", "--seconds=2", "--prompt-seconds=1", "--keep-prompt", "--no-pictures"]
    assert main(["generate", f"--checkpoint={GOLDEN / preset}.safetensors", f"--out={tmp_path}", *flags]) == 0
    for n in (1, 2):
        clip, _ = soundfile.read(tmp_path / f"clip-3-{n}.wav")
        golden, _ = soundfile.read(GOLDEN / f"{preset}-{n}.flac")
        assert clip.shape == golden.shape
        assert np.abs(clip - golden).max() <= LARGEST_DIFFERENCE
        if preset != "classic":
            notes, wanted = (read_midi(path) for path in (tmp_path / f"clip-3-{n}.mid", GOLDEN / f"{preset}-{n}.mid"))
            assert notes.notes == wanted.notes
