"""Peak memory of training on a short and on a long corpus: the same file, linked many times."""

import subprocess
import sys
import tempfile
from pathlib import Path

from waveforms.audio import probe

STEPS = 20
_PROGRAM = """
import resource, sys
from pipeline.cli import main
assert main(sys.argv[1:]) == 0
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def compare(recording: Path, *, hours: tuple[int, int]) -> dict[str, float]:
    """Peak bytes of a training run on corpora of so many hours, and their ratio."""
    short, long = (peak_bytes(recording, n) for n in hours)
    return {f"gib_of_{hours[0]}_h": short / 2**30, f"gib_of_{hours[1]}_h": long / 2**30, "ratio": long / short}


def peak_bytes(recording: Path, hours: int) -> int:
    """The peak resident memory of a process that trains on that many hours."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "corpus"
        folder.mkdir()
        for n in range(round(hours * 3600 / probe(recording).seconds)):
            (folder / f"{n:05d}.wav").symlink_to(recording.resolve())
        flags = ["--out", str(Path(home) / "run"), f"--steps={STEPS}", f"--validate-every={STEPS}"]
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, "train", str(folder), *flags], capture_output=True, text=True, check=True
        )
    return int(done.stdout.rsplit("peak ", 1)[1])
