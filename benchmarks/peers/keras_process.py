"""Starts `keras_lstm` as a process in an environment of its own, and sends it requests."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from benchmarks.timing import Work

_PROGRAM = Path(__file__).with_name("keras_lstm.py")
PYTHON = Path(__file__).parents[1] / ".venv-keras" / "bin" / "python"


class Keras:
    """The process of the peer; it sleeps between requests, so it takes no time from others."""

    def __init__(self) -> None:
        self._printed = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [PYTHON, _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._printed, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._printed.close()

    def train(self, batch: int, precision: str) -> Work:
        """Make a work: an optimiser step."""
        return lambda: self._ask(work="train", batch=batch, precision=precision)

    def roll_out(self, n_blocks: int, every: int) -> Work:
        """Make a work: one clip; `every` is explained in `keras_lstm`."""
        return lambda: self._ask(work="roll out", n_blocks=n_blocks, every=every)

    def _ask(self, **request: Any) -> float:
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            return float(json.loads(self._process.stdout.readline())["seconds"])
        except (BrokenPipeError, json.JSONDecodeError) as error:  # the process has ended
            self._printed.seek(0)
            raise RuntimeError(f"{_PROGRAM} must answer, and printed: {self._printed.read()[-2000:]}") from error


def has_keras() -> bool:
    """Report whether the environment is there; `make bench` makes it."""
    return PYTHON.exists()
