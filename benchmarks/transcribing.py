"""The notes of a recording: how many times as fast as the music lasts one core transcribes it."""

from pathlib import Path

import torch

from benchmarks.clock import median_seconds, timed
from benchmarks.figures import Figure, Target
from benchmarks.recordings import SECONDS
from waveforms.audio import read
from waveforms.notes.transcriber import transcribe

REAL_TIME = 10  # times as fast as the music lasts, at least


def measure(path: Path, n_rounds: int) -> list[Figure]:
    """Speed of the transcriber, whatever a recording of SECONDS holds."""
    waveform, n_threads = read(path), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        seconds = median_seconds({"transcribe": timed(lambda: transcribe(waveform))}, n_rounds)["transcribe"]
    finally:
        torch.set_num_threads(n_threads)
    speed = SECONDS / seconds
    return [Figure("notes", "transcribe, one core", speed, "times real time", target=Target("value", REAL_TIME))]
