"""The command line as a person calls it: the wait for `quarterwave --help`, and the peak memory of training.

Memory is compared between a short and a long corpus, each of one file that is linked many times. Both have more
excerpts than a codec is fitted on, so the fit costs them the same.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, Reference, Target
from benchmarks.timing import median_seconds, timed
from waveforms.audio import probe

MOST_SECONDS = 0.5  # until help is shown
STEPS = 5
MOST_GROWTH = 1.1  # memory on the long corpus over memory on the short one
_PROGRAM = """
import resource, sys
from pipeline.cli.main import main
assert main(sys.argv[1:]) == 0
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def measure_start(n_rounds: int) -> list[Figure]:
    """Measure the seconds from the call of `quarterwave --help` to its end."""
    quarterwave = Path(sys.executable).with_name("quarterwave")
    commands = {"help": [quarterwave, "--help"], "python": [sys.executable, "-c", "pass"]}

    def run(command: list[str | Path]) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    seconds = median_seconds({name: timed(lambda c=c: run(c)) for name, c in commands.items()}, n_rounds)  # type: ignore[misc]
    return [
        Figure(
            "start",
            "quarterwave --help",
            seconds["help"],
            "s",
            less_is_better=True,
            limit=Reference("python alone", seconds["python"]),
            target=Target("value", MOST_SECONDS),
        )
    ]


def measure_memory(recording: Path, hours: tuple[int, int]) -> list[Figure]:
    """Measure the peak memory of training on a short and on a long corpus.

    Args:
        recording: the file to link.
        hours: the lengths of the two corpora.
    """
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
    """Return the peak resident memory of a process that trains on a corpus of that length."""
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
        # The peak of a process begins at the size of the process that started it, so a small shell starts it.
        done = subprocess.run(["sh", "-c", '"$@"; exit $?', "sh", *command], capture_output=True, text=True, check=True)
    return int(done.stdout.rsplit("peak ", 1)[1])
