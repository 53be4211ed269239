"""Peak memory of training on a short and on a long corpus: the same file, linked many times.

Either has more excerpts than a codec is fitted on, which would grow with a shorter one.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, Reference, Target
from waveforms.audio import probe

STEPS = 5
MOST_GROWTH = 1.1  # of the memory, from the short corpus to the long one
_PROGRAM = """
import resource, sys
from pipeline.cli.main import main
assert main(sys.argv[1:]) == 0
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measure(recording: Path, hours: tuple[int, int]) -> list[Figure]:
    """Peak memory on corpora of so many hours."""
    short, long = (peak_bytes(recording, n) / 2**30 for n in hours)
    return [
        Figure("memory", f"training on {hours[0]} h", short, "GiB", less_is_better=True),
        Figure(
            "memory",
            f"training on {hours[1]} h",
            long,
            "GiB",
            less_is_better=True,
            peer=Reference(f"{hours[0]} h", short),
            target=Target("ratio", 1 / MOST_GROWTH),
        ),
    ]


def peak_bytes(recording: Path, hours: int) -> int:
    """The peak resident memory of a process that trains on that many hours."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "corpus"
        folder.mkdir()
        for n in range(round(hours * 3600 / probe(recording).seconds)):
            (folder / f"{n:05d}.wav").symlink_to(recording.resolve())
            (folder / f"{n:05d}.mid").symlink_to(recording.with_suffix(".mid").resolve())
        flags = [
            f"--steps={STEPS}",
            f"--validate-every={STEPS}",
            f"--validation-sequences={2 * STEPS}",
            f"--fit-steps={STEPS}",
        ]
        command = [sys.executable, "-c", _PROGRAM, "train", str(folder), "--out", str(Path(home) / "run"), *flags]
        # A process's peak begins at the size of what started it: a small shell, and not this process.
        done = subprocess.run(["sh", "-c", '"$@"; exit $?', "sh", *command], capture_output=True, text=True, check=True)
    return int(done.stdout.rsplit("peak ", 1)[1])
