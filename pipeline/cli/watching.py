"""Watching a training run: the progress bar, a line for each validation, and TensorBoard."""

import copy
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import torch
from rich.progress import Progress as Bar
from torch.utils.tensorboard.writer import SummaryWriter

from pipeline.checkpoint import Checkpoint
from pipeline.config import MAX_SEQ_LEN
from pipeline.pictures import draw_clip
from pipeline.prompts import held_out
from pipeline.session import Session
from pipeline.training.progress import Progress
from waveforms import SAMPLE_RATE

PROMPT_BLOCKS = 20
SMOOTHING = 0.9  # of the shown blocks per second


class Watching:
    """Shows a run on the console and writes it to `<out>/tensorboard`."""

    def __init__(self, bar: Bar, out: Path) -> None:
        self._bar = bar
        self._task = bar.add_task("fitting", total=None, note="")
        self._out = out
        self._board: SummaryWriter | None = None
        self._rate = 0.0
        self._since = 0.0
        self._skill = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board:
            self._board.close()

    def listening(self, done: float, total: float) -> None:
        """See `pipeline.training.progress.Watcher`."""
        self._bar.update(self._task, description="reading notes", completed=done, total=total)

    def fitting(self, done: int, total: int) -> None:
        """See `pipeline.training.progress.Watcher`."""
        self._bar.update(self._task, description="fitting", completed=done, total=total)

    def started(self, progress: Progress, n_steps: int) -> None:
        """See `pipeline.training.progress.Watcher`."""
        self._bar.reset(self._task, description="training", completed=progress.step, total=n_steps, note="")
        # Steps after the save that a run resumes from are written again: the old ones are hidden.
        self._board = SummaryWriter(self._out / "tensorboard", purge_step=progress.step + 1)
        self._since = time.perf_counter()

    def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
        """See `pipeline.training.progress.Watcher`."""
        now = time.perf_counter()
        rate = n_blocks / (now - self._since)
        self._since = now
        self._rate = SMOOTHING * self._rate + (1 - SMOOTHING) * rate if self._rate else rate
        self._bar.update(
            self._task,
            completed=progress.step,
            note=f"loss {loss:.4f}  {self._rate:.0f} blocks/s{self._skill}",
        )
        if self._board:
            self._board.add_scalar("training/loss", loss, progress.step)
            self._board.add_scalar("training/blocks_per_second", rate, progress.step)

    def validated(self, row: dict[str, float], run: Checkpoint, is_best: bool) -> None:
        """See `pipeline.training.progress.Watcher`."""
        self._skill = f"  skill {row['skill_mean']:.2f} %"
        self._bar.console.print(
            f"step {row['step']:>6.0f}  loss {row['loss']:.4f}  skill {row['skill_mean']:6.2f} % against the mean, "
            f"{row['skill_repeat']:6.2f} % against repeating{'  best' if is_best else ''}"
        )
        if self._board:
            for name, value in row.items():
                self._board.add_scalar(f"validation/{name}", value, int(row["step"]))
            self._write_clip(self._board, run, int(row["step"]))
        self._since = time.perf_counter()

    def noted(self, sentence: str) -> None:
        """See `pipeline.training.progress.Watcher`."""
        self._bar.console.print(sentence, markup=False)

    def _write_clip(self, board: SummaryWriter, run: Checkpoint, step: int) -> None:
        """Roll out from the same held-out prompt every time, for the ear and the eye."""
        prompt = held_out(run.excerpts, PROMPT_BLOCKS, run.codec.block_size, np.random.default_rng(0))
        session = Session(copy.deepcopy(run.model), run.codec, next(run.model.parameters()).device.type)
        session.prime([prompt], seed=0)
        pieces = (part.samples for part in session.stream(MAX_SEQ_LEN, with_prompt=True))
        waveform = torch.cat([piece[0] for piece in pieces]).cpu()
        board.add_audio("roll-out", waveform.clamp(-1, 1), step, sample_rate=SAMPLE_RATE)
        figure = draw_clip(
            waveform.numpy(),
            prompt_samples=len(prompt.waveform),
            block_seconds=run.codec.block_seconds,
            title=prompt.source,
        )
        board.add_figure("roll-out", figure, step)
