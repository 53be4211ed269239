"""The other end of `keras_lstm`: a process in an environment of its own, which works when it is asked to."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from benchmarks.clock import Work

_PROGRAM = Path(__file__).with_name("keras_lstm.py")
PYTHON = Path(__file__).parents[1] / ".venv-keras" / "bin" / "python"


class Keras:
    """The peer's process; between requests it sleeps, so that it takes no time from others."""

    def __init__(self) -> None:
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [PYTHON, _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def train(self, batch: int, precision: str) -> Work:
        """An optimiser step."""
        return lambda: self._ask(work="train", batch=batch, precision=precision)

    def roll_out(self, n_blocks: int, every: int) -> Work:
        """One clip; see the program for `every`."""
        return lambda: self._ask(work="roll out", n_blocks=n_blocks, every=every)

    def _ask(self, **request: Any) -> float:
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return float(json.loads(self._process.stdout.readline())["seconds"])
        except (BrokenPipeError, json.JSONDecodeError) as error:  # it has ended
            self._said.seek(0)
            raise RuntimeError(f"{_PROGRAM} must answer, and said: {self._said.read()[-2000:]}") from error


def has_keras() -> bool:
    """Whether the environment is there; `make bench` makes it."""
    return PYTHON.exists()
