"""One training loop for every model.

Reads from top to bottom: open or resume a run, then batch, loss, step, and every so often validate, show and save.
Whatever a run's next step depends on is in `last.safetensors`, so a run that was stopped at any moment, or killed,
goes on from its last save and ends, on a CPU, with the same weights to the bit.

One process or many run the same lines: each takes its part of a batch, Fabric adds the gradients up, and all take the
same step. The first alone writes and tells.
"""

import copy
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._pytree import tree_map

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.config import LAST, TrainingSettings
from pipeline.distributed import (
    connect_to_train,
    derive_seed,
    keep_freed_memory,
    lost_process_reported,
    sum_over_processes,
)
from pipeline.models import Losses, Model
from pipeline.models.base import total_loss
from pipeline.training.begin import music_again, split_again
from pipeline.training.lanes import batches, encode_batch, prefetch
from pipeline.training.pieces import fitted_to, held_out_rows, pieces_of
from pipeline.training.progress import Outcome, Progress, Unwatched, Watcher, check_finite
from pipeline.training.resume import lanes_of, restore, save
from pipeline.training.validation import validate
from waveforms.corpus import Corpus

FINAL_SHARE = 0.1  # of the peak learning rate, where the cosine ends


def train(run: Checkpoint, corpus: Corpus, out: Path, watcher: Watcher) -> Outcome:
    """Train a run, fresh or loaded, until it is finished, no longer improves or is told to stop.

    Writes `last.safetensors` and `best.safetensors` in `out` after each validation and when stopped.

    Args:
        run: from `begin` or from `checkpoint.load(out / LAST)`.
        corpus: that it was begun with.
        out: the run's folder.
        watcher: is told how it goes.

    Raises:
        CorpusError: the corpus no longer holds a recording of the run's split.
        OutputError: a checkpoint cannot be written.
        SettingsError: a batch cannot be divided among the processes.
        TrainingError: a loss, a gradient or a weight is no longer a finite number; what was saved before stays.
    """
    settings = run.settings.training
    fabric = connect_to_train(settings)
    watcher = watcher if fabric.is_global_zero else Unwatched()
    training, validation = split_again(corpus, run.split)

    keep_freed_memory()
    codec = run.codec.to(fabric.device)
    pieces = fitted_to(pieces_of(training, codec, watcher.listening, watcher.noted), codec)
    unheard = fitted_to(pieces_of(validation, codec, watcher.listening, watcher.noted), codec)
    held_out = held_out_rows(unheard, settings.sequence_blocks, settings.validation_sequences)
    average = run.model.to(fabric.device)
    model = copy.deepcopy(average) if settings.ema_decay else average
    optimiser = make_optimiser(model, settings)
    with lost_process_reported(fabric):
        learner, optimiser = fabric.setup(model, optimiser)
    learner.mark_forward_method("loss")
    progress = Progress(**run.progress)
    run.provenance.append({"first_step": progress.step} | checkpoint.versions())
    n_notes = run.settings.model.note_sequences
    state = model.init_state(len(lanes_of(fabric.global_rank, run, fabric)))
    if progress.step:
        state = restore(run, model, optimiser.optimizer, state, checkpoint.load_resume(out / LAST), fabric)

    stream = batches(
        pieces,
        [*pieces, *music_again(run.split, codec)],
        settings.batch_size,
        n_notes,
        settings.sequence_blocks,
        codec,
        seed=settings.seed,
        first_step=progress.step,
        rank=fabric.global_rank,
        n_ranks=fabric.world_size,
    )
    reason = "finished"
    since = time.perf_counter() - progress.seconds
    with _stop_signals() as stop_asked:
        watcher.started(progress, settings.steps)
        for batch in prefetch(stream):
            if progress.step >= settings.steps:
                break
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(progress.step, settings)
            learner.train()
            torch.manual_seed(derive_seed(settings.seed, progress.step, fabric.global_rank))  # of dropout and noise
            blocks = encode_batch(batch, codec, fabric.device)
            # Fabric opens autocast itself only where several processes train; these exchange buffers here.
            with fabric.autocast(), lost_process_reported(fabric):
                parts, state = learner.loss(blocks, tree_map(Tensor.detach, state))
            part = total_loss(_of_all(parts, fabric))
            loss = sum_over_processes(fabric, part.detach()).item()
            check_finite(loss, "loss", progress.step + 1, settings)
            with lost_process_reported(fabric):
                fabric.backward(
                    part * fabric.world_size
                )  # DDP averages the processes' gradients; the loss is their sum
            norm = fabric.clip_gradients(learner, optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False)
            check_finite(float(norm or 0.0), "gradient's norm", progress.step + 1, settings)
            optimiser.step()
            optimiser.zero_grad()
            if settings.ema_decay:
                _average(average, model, settings.ema_decay, progress.step)

            progress.step += 1
            progress.seconds = time.perf_counter() - since
            n_blocks = (settings.batch_size + n_notes) * settings.sequence_blocks
            watcher.stepped(progress, loss, n_blocks)
            if progress.step % settings.validate_every == 0 or progress.step == settings.steps:
                row = {
                    "step": progress.step,
                    "training_loss": loss,
                    "learning_rate": learning_rate(progress.step - 1, settings),
                } | validate(average, codec, held_out, fabric)
                check_finite(row["loss"], "held-out loss", progress.step, settings)
                row["seconds"] = progress.seconds = time.perf_counter() - since
                run.history.append(row)
                is_best = progress.best_loss is None or row["loss"] < progress.best_loss
                if is_best:
                    progress.best_loss = row["loss"]
                progress.n_worse = 0 if is_best else progress.n_worse + 1
                save(run, progress, model, optimiser, state, out, fabric, is_best=is_best)
                watcher.validated(row, run, is_best)
                if progress.n_worse >= settings.patience:
                    reason = "early"
                    break
            if sum_over_processes(fabric, torch.tensor(float(stop_asked()))):  # any of them
                save(run, progress, model, optimiser, state, out, fabric, is_best=False)
                reason = "stopped"
                break
    return Outcome(reason, run, progress)


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """A linear rise, then half a cosine to a tenth of the peak (Loshchilov & Hutter 2017)."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(share, 1.0))) / 2
    return settings.learning_rate * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)


def make_optimiser(model: Model[Any], settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over all of the model's weights."""
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(
            model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.RMSprop(model.parameters(), settings.learning_rate)


def _of_all(parts: Losses, fabric: Fabric) -> Losses:
    """Parts of one process, each to be divided by what it counts in all of them."""
    numbers = sum_over_processes(fabric, torch.tensor([float(part.n) for part in parts.values()])).long().tolist()
    return {name: part._replace(n=number) for (name, part), number in zip(parts.items(), numbers, strict=True)}


@torch.no_grad()
def _average(average: Model[Any], model: Model[Any], keep: float, step: int) -> None:
    """Draw averaged weights towards the trained ones; early ones are soon forgotten (Polyak & Juditsky 1992).

    Rolled out, averaged weights stray less than any step's own.
    """
    share = 1 - min(keep, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """While training, Ctrl-C or a termination asks to stop after the current step; a second one is not held back."""
    asked = False
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
