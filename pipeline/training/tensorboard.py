"""A run in TensorBoard: its losses, and after each validation a clip to listen to and its picture."""

import copy
import time
from pathlib import Path

import numpy as np
import torch
from torch.utils.tensorboard.writer import SummaryWriter

from pipeline.config import MAX_SEQ_LEN
from pipeline.pictures import draw_clip
from pipeline.prompts import held_out
from pipeline.session import Session
from pipeline.training.begin import Run
from pipeline.training.callbacks import Callback
from waveforms import SAMPLE_RATE

PROMPT_BLOCKS = 20


class TensorBoardWriter(Callback):
    """Writes scalars and clips to a folder of event files.

    Args:
        folder: of the event files; what a resumed run writes again is hidden there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._since = 0.0

    def on_train_start(self, run: Run) -> None:
        """See `Callback`."""
        self._writer = SummaryWriter(self._folder, purge_step=run.progress.step + 1)
        self._since = time.perf_counter()

    def on_step_end(self, run: Run, loss: float) -> None:
        """See `Callback`."""
        now = time.perf_counter()
        rate = run.n_blocks_of_step / (now - self._since)
        self._since = now
        self._writer.add_scalar("training/loss", loss, run.progress.step)
        self._writer.add_scalar("training/blocks_per_second", rate, run.progress.step)

    def on_validation_end(self, run: Run, metrics: dict[str, float]) -> None:
        """See `Callback`."""
        for name, value in metrics.items():
            self._writer.add_scalar(f"validation/{name}", value, run.progress.step)
        self._write_clip(run)
        self._since = time.perf_counter()

    def on_train_end(self, run: Run) -> None:
        """See `Callback`."""
        self._writer.close()

    def _write_clip(self, run: Run) -> None:
        """Roll out from the same held-out prompt every time."""
        model, codec = run.checkpoint.model, run.checkpoint.codec
        prompt = held_out(run.checkpoint.excerpts, PROMPT_BLOCKS, codec.block_size, np.random.default_rng(0))
        session = Session(copy.deepcopy(model), codec, next(model.parameters()).device.type)
        session.prime([prompt], seed=0)
        chunks = (chunk.samples for chunk in session.stream(MAX_SEQ_LEN, with_prompt=True))
        waveform = torch.cat([samples[0] for samples in chunks]).cpu()
        self._writer.add_audio("roll-out", waveform.clamp(-1, 1), run.progress.step, sample_rate=SAMPLE_RATE)
        figure = draw_clip(
            waveform.numpy(),
            prompt_samples=len(prompt.waveform),
            block_seconds=codec.block_seconds,
            title=prompt.source,
        )
        self._writer.add_figure("roll-out", figure, run.progress.step)
