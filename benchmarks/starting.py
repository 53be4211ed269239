"""How long a person waits for `quarterwave --help`."""

import subprocess
import sys
from pathlib import Path

from benchmarks.clock import median_seconds, timed
from benchmarks.figures import Figure, Reference, Target

MOST_SECONDS = 0.5


def measure(n_rounds: int) -> list[Figure]:
    """Seconds from the call to its end."""
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
