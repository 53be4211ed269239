"""One training loop for every model.

Reads from top to bottom: begin or resume a run, then batch, loss, step, and every so often validate, show and save.
Whatever a run's next step depends on is in `last.safetensors`, so a run that was stopped at any moment, or killed,
goes on from its last save and ends, on a CPU, with the same weights to the bit.

One process or many run the same lines: each takes its part of a batch, Fabric adds the gradients up, and all take the
same step. The first alone writes and calls the callbacks.
"""

import copy
import math
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._pytree import tree_map

from pipeline import checkpoint
from pipeline.config import TrainingSettings
from pipeline.distributed import (
    broadcast_from_first,
    connect_to_train,
    derive_seed,
    keep_freed_memory,
    lost_process_reported,
    sum_over_processes,
)
from pipeline.models import Losses, Model
from pipeline.models.base import total_loss
from pipeline.training.begin import Run, begin
from pipeline.training.callbacks import Callback, CallbackList
from pipeline.training.lanes import batches, encode_batch, prefetch
from pipeline.training.pieces import held_out_rows
from pipeline.training.request import TrainRequest
from pipeline.training.resume import delete_saved, lanes_of, restore, save
from pipeline.training.validation import check_finite, validate
from waveforms.corpus import Corpus

FINAL_SHARE = 0.1  # of the peak learning rate, where the cosine ends


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended.

    Attributes:
        reason: "finished", "early" (the loss did not fall for too long) or "stopped" (by the user).
        run: as it stands.
    """

    reason: str
    run: Run


def train(request: TrainRequest, callbacks: Iterable[Callback] = (), *, corpus: Corpus | None = None) -> Outcome:
    """Train until all steps are done, the held-out loss does not fall any more, or the user stops.

    Args:
        request: what to train, and where to save it.
        callbacks: see `pipeline.training.callbacks`; without any, nothing is printed.
        corpus: the request's places, where they are open already.

    Raises:
        QuarterwaveError: see `begin` and `fit`.
        SettingsError: a batch cannot be divided among the processes.
    """
    settings = request.settings().training
    fabric = connect_to_train(settings.precision, settings.batch_size)
    keep_freed_memory()
    return fit(broadcast_from_first(fabric, lambda: begin(request, callbacks, corpus=corpus)), callbacks)


def fit(run: Run, callbacks: Iterable[Callback] = ()) -> Outcome:
    """The training loop.

    Writes `last.safetensors` and `best.safetensors` in the run's folder after each validation, and `last.safetensors`
    when stopped; what an older run has left there is deleted first.

    Raises:
        OutputError: a checkpoint cannot be written.
        TrainingError: a loss, a gradient or a weight is no longer a finite number, or another process has ended; what
            was saved before stays.
    """
    settings, progress = run.settings.training, run.progress
    fabric = connect_to_train(settings.precision, settings.batch_size)
    callback = CallbackList(callbacks if fabric.is_global_zero else ())
    codec = run.checkpoint.codec.to(fabric.device)
    average = run.checkpoint.model.to(fabric.device)
    model = copy.deepcopy(average) if settings.ema_decay else average
    optimiser = make_optimiser(model, settings)
    with lost_process_reported(fabric):
        learner, optimiser = fabric.setup(model, optimiser)
    learner.mark_forward_method("loss")
    state = model.init_state(len(lanes_of(run, fabric)))
    if progress.step:
        state = restore(run, model, optimiser.optimizer, state, fabric)
    elif fabric.is_global_zero:
        delete_saved(run.folder)
    run.checkpoint.provenance.append({"first_step": progress.step} | checkpoint.versions())
    validation = held_out_rows(run.validation, settings.sequence_blocks, settings.validation_sequences)
    stream = batches(
        run.training,
        [*run.training, *run.music],
        settings.batch_size,
        run.settings.model.note_sequences,
        settings.sequence_blocks,
        codec,
        seed=settings.seed,
        first_step=progress.step,
        rank=fabric.global_rank,
        n_ranks=fabric.world_size,
    )
    reason = "finished"
    since = time.perf_counter() - progress.seconds
    callback.on_train_start(run)
    with _stop_signals() as stop_requested, ExitStack() as at_end:
        at_end.callback(callback.on_train_end, run)
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
                terms, state = learner.loss(blocks, tree_map(Tensor.detach, state))
            own_loss = total_loss(_counted_by_all(terms, fabric))
            loss = sum_over_processes(fabric, own_loss.detach()).item()
            check_finite(loss, "loss", progress.step + 1, settings)
            with lost_process_reported(fabric):
                fabric.backward(own_loss * fabric.world_size)  # DDP averages gradients; the loss is a sum
            norm = fabric.clip_gradients(learner, optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False)
            check_finite(float(norm or 0.0), "gradient's norm", progress.step + 1, settings)
            optimiser.step()
            optimiser.zero_grad()
            if settings.ema_decay:
                _average(average, model, settings.ema_decay, progress.step)

            progress.step += 1
            progress.seconds = time.perf_counter() - since
            callback.on_step_end(run, loss)
            if progress.step % settings.validate_every == 0 or progress.step == settings.steps:
                metrics = {
                    "step": progress.step,
                    "training_loss": loss,
                    "learning_rate": learning_rate(progress.step - 1, settings),
                } | validate(average, codec, validation, fabric)
                check_finite(metrics["loss"], "held-out loss", progress.step, settings)
                metrics["seconds"] = progress.seconds = time.perf_counter() - since
                run.checkpoint.history.append(metrics)
                is_best = progress.best_loss is None or metrics["loss"] < progress.best_loss
                progress.best_loss = metrics["loss"] if is_best else progress.best_loss
                progress.n_worse = 0 if is_best else progress.n_worse + 1
                save(run, model, optimiser, state, fabric, is_best=is_best)
                callback.on_validation_end(run, metrics)
                if progress.n_worse >= settings.patience:
                    reason = "early"
                    break
            if sum_over_processes(fabric, torch.tensor(float(stop_requested()))):  # on any of them
                save(run, model, optimiser, state, fabric, is_best=False)
                reason = "stopped"
                break
    return Outcome(reason, run)


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


def _counted_by_all(terms: Losses, fabric: Fabric) -> Losses:
    """Terms of one process's loss, each to be divided by what it counts in all processes."""
    counts = sum_over_processes(fabric, torch.tensor([float(term.n) for term in terms.values()])).long().tolist()
    return {name: term._replace(n=count) for (name, term), count in zip(terms.items(), counts, strict=True)}


@torch.no_grad()
def _average(average: Model[Any], model: Model[Any], keep: float, step: int) -> None:
    """Move averaged weights towards the trained ones; early ones are soon forgotten (Polyak & Juditsky 1992).

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
