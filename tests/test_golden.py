"""What was made before stays as it was: checkpoints of format 7 load, and their clips come out the same.

The files in `golden/` were written before format 8: a tiny model of each preset, and two clips of each from one seed.
On the processor that made them clips agree to the bit. Elsewhere sums are rounded in another order: clips of `classic`,
and the prompt that every clip keeps, may differ by LARGEST_DIFFERENCE. In the roll-outs of the others phase recovery
turns rounding into other phases, so their log magnitudes may differ by LARGEST_RMS. Those of the two golden clips of a
preset differ by 0.2 and more.
"""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipeline.cli.main import main
from waveforms import SAMPLE_RATE
from waveforms.dsp.bands import compand, to_bands
from waveforms.dsp.spectra import FRAME_PADDING, to_frames
from waveforms.notes.midi import read_midi

GOLDEN = Path(__file__).parent / "golden"
LARGEST_DIFFERENCE = 32 / 32768  # -60 dB re full scale
LARGEST_RMS = 0.08  # of companded log magnitudes in bands


def log_magnitudes(clip: np.ndarray) -> torch.Tensor:
    padded = torch.nn.functional.pad(torch.from_numpy(clip).float(), FRAME_PADDING)
    return compand(to_bands(to_frames(padded).abs().square()))


@pytest.mark.parametrize("preset", ["classic", "flow", "codes"])
def test_an_old_checkpoint_renders_the_same_clips(preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)  # 8 bits, where a processor has them, give other clips
    flags = ["--seed=3", "--clips=2", "--seconds=2", "--prompt-seconds=1", "--keep-prompt", "--no-pictures"]
    assert main(["generate", f"--checkpoint={GOLDEN / preset}.safetensors", f"--out={tmp_path}", *flags]) == 0
    for n in (1, 2):
        clip, _ = soundfile.read(tmp_path / f"clip-3-{n}.wav")
        golden, _ = soundfile.read(GOLDEN / f"{preset}-{n}.flac")
        assert clip.shape == golden.shape
        n_alike = len(clip) if preset == "classic" else SAMPLE_RATE  # a second of prompt
        assert np.abs(clip - golden)[:n_alike].max() <= LARGEST_DIFFERENCE
        assert (log_magnitudes(clip) - log_magnitudes(golden)).square().mean().sqrt() <= LARGEST_RMS
        if preset != "classic":
            notes, wanted = (read_midi(path) for path in (tmp_path / f"clip-3-{n}.mid", GOLDEN / f"{preset}-{n}.mid"))
            assert notes.notes == wanted.notes
