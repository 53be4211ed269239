"""One training loop for every predictor.

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
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.errors import TrainingError
from pipeline.lineage import ancestors_with, named_split, trained_on
from pipeline.memory import keep_freed_memory
from pipeline.predictors import Predictor, make_predictor
from pipeline.processes import join, mixed, total
from pipeline.prompts import choose_passages
from pipeline.representations import Representation, make_representation
from pipeline.settings import BEST, LAST, Settings, TrainingSettings
from pipeline.windows import Batch, Position, Window, batches, prefetch, read_batch, sweep, sweep_of, thinned, windows
from waveforms import BLOCK_SIZE
from waveforms.corpus import Corpus
from waveforms.errors import CorpusError

FINAL_SHARE = 0.1  # of the peak learning rate, where the cosine ends


@dataclass
class Progress:
    """Where a run stands; with the tensors, all that its future depends on."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_loss: float | None = None
    n_worse: int = 0
    seconds: float = 0.0

    @property
    def position(self) -> Position:
        """In the data."""
        return Position(self.epoch, self.batch)

    def is_over(self, settings: TrainingSettings) -> bool:
        """Whether a run that stands here has come to its end: all steps done, or no better for too long."""
        return self.step >= settings.steps or self.n_worse >= settings.patience


class Watcher(Protocol):
    """Who is told how training goes: the command line's progress bar, TensorBoard. Here, nobody is."""

    def fitting(self, done: int, total: int) -> None:
        """So many of the training split's blocks went into the representation."""
        return

    def started(self, progress: Progress, n_steps: int) -> None:
        """The loop begins, from a fresh or a resumed state."""
        return

    def stepped(self, progress: Progress, loss: float, n_blocks: int) -> None:
        """A step is done; it saw so many blocks."""
        return

    def validated(self, row: dict[str, float], run: Checkpoint, is_best: bool) -> None:
        """A validation is done; `row` is its line of the history."""
        return

    def noted(self, sentence: str) -> None:
        """Something about the split that the user should know."""
        return


class Unwatched(Watcher):
    """Watches a process that is not the first."""


@dataclass(frozen=True)
class Outcome:
    """How a call of `train` ended: `finished`, `early` (no better for too long) or `stopped` (by the user)."""

    reason: str
    run: Checkpoint
    progress: Progress


def begin(
    corpus: Corpus,
    settings: Settings,
    held_out: list[str] | None,
    watcher: Watcher,
    learned: Checkpoint | None = None,
) -> Checkpoint:
    """A fresh run: split, prompts, fitted representation and new weights, or those of a checkpoint.

    Args:
        corpus: to learn from.
        settings: all of them; those of what is taken from `learned` are its own.
        held_out: names and patterns of recordings, or None for a share of them; whole works, and nothing that
            `learned` or an ancestor of it was trained on.
        watcher: is told how it goes.
        learned: what to go on from with another corpus.

    Raises:
        CorpusError: the corpus cannot be split as asked, or nothing is left to hold out.
        SettingsError: a batch cannot be divided among the processes.
    """
    fabric = join(settings.training)
    ancestors = ancestors_with(learned) if learned else []
    training, validation = corpus.split(
        held_out,
        fraction=settings.training.held_out_share,
        trained_on=trained_on(ancestors),
        report=watcher.noted,
    )
    run = learned or _fitted(training, settings, watcher, fabric)
    return Checkpoint(
        settings=settings,
        predictor=run.predictor,
        representation=run.representation,
        split=named_split(training, validation),
        passages=choose_passages(validation),
        ancestors=ancestors,
    )


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
        CheckpointError: a checkpoint cannot be written.
        SettingsError: a batch cannot be divided among the processes.
        TrainingError: a loss, a gradient or a weight is no longer a finite number; what was saved before stays.
    """
    settings = run.settings.training
    fabric = join(settings)
    watcher = watcher if fabric.is_global_zero else Unwatched()
    training, validation = _split_again(corpus, run.split)
    held_out = thinned(windows(validation, settings.sequence_blocks), settings.validation_sequences)

    keep_freed_memory()
    representation = run.representation.to(fabric.device)
    average = run.predictor.to(fabric.device)
    predictor = copy.deepcopy(average) if settings.averaging else average
    optimiser = make_optimiser(predictor, settings)
    model, optimiser = fabric.setup(predictor, optimiser)
    model.mark_forward_method("loss")
    progress = Progress(**run.progress)
    run.provenance.append({"first_step": progress.step} | checkpoint.versions())
    if progress.step:
        _restore(predictor, optimiser.optimizer, checkpoint.load_resume(out / LAST))

    stream = batches(
        training,
        settings.sequence_blocks,
        settings.batch_size,
        representation.margins,
        seed=settings.seed,
        start=progress.position,
        rank=fabric.global_rank,
        n_ranks=fabric.world_size,
    )
    reason = "finished"
    since = time.perf_counter() - progress.seconds
    with _stop_signals() as stop_asked:
        watcher.started(progress, settings.steps)
        for batch, position in prefetch(stream):
            if progress.step >= settings.steps:
                break
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(progress.step, settings)
            model.train()
            torch.manual_seed(mixed(settings.seed, progress.step, fabric.global_rank))  # of dropout, noise, variation
            sequence, n_targets = _elements(batch, representation.vary, fabric)
            with fabric.autocast():  # by itself, Fabric opens it only where several processes train
                part = model.loss(sequence, n_targets) * batch.share
            loss = total(fabric, part.detach()).item()
            _check_finite(loss, "loss", progress.step + 1, settings)
            fabric.backward(part * fabric.world_size)  # the processes' gradients are averaged, not added
            norm = fabric.clip_gradients(model, optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False)
            _check_finite(float(norm or 0.0), "gradient's norm", progress.step + 1, settings)
            optimiser.step()
            optimiser.zero_grad()
            if settings.averaging:
                _average(average, predictor, settings.averaging, progress.step)

            progress.step, (progress.epoch, progress.batch) = progress.step + 1, position
            progress.seconds = time.perf_counter() - since
            watcher.stepped(progress, loss, batch.n_in_all)
            if progress.step % settings.validate_every == 0 or progress.step == settings.steps:
                row = {
                    "step": progress.step,
                    "training_loss": loss,
                    "learning_rate": learning_rate(progress.step - 1, settings),
                } | validate(average, representation, validation, held_out, settings, fabric)
                _check_finite(row["loss"], "held-out loss", progress.step, settings)
                row["seconds"] = progress.seconds = time.perf_counter() - since
                run.history.append(row)
                is_best = progress.best_loss is None or row["loss"] < progress.best_loss
                if is_best:
                    progress.best_loss = row["loss"]
                progress.n_worse = 0 if is_best else progress.n_worse + 1
                _save(run, progress, predictor, optimiser, out, fabric, is_best=is_best)
                watcher.validated(row, run, is_best)
                if progress.n_worse >= settings.patience:
                    reason = "early"
                    break
            if total(fabric, torch.tensor(float(stop_asked()))):  # any of them
                _save(run, progress, predictor, optimiser, out, fabric, is_best=False)
                reason = "stopped"
                break
    return Outcome(reason, run, progress)


@torch.no_grad()
def validate(
    model: Predictor,
    representation: Representation,
    corpus: Corpus,
    plan: list[Window],
    settings: TrainingSettings,
    fabric: Fabric,
) -> dict[str, float]:
    """The loss on held-out windows, that of each baseline, and the skill against each."""
    model.eval()
    sums: dict[str, float] = {}
    for at in range(0, len(plan), settings.batch_size):
        chosen = plan[at : at + settings.batch_size]
        batch = read_batch(
            corpus,
            chosen,
            settings.sequence_blocks,
            representation.margins,
            rank=fabric.global_rank,
            n_ranks=fabric.world_size,
        )
        sequence, n_targets = _elements(batch, representation.transform, fabric)
        with fabric.autocast():
            losses = {"loss": model.loss(sequence, n_targets)} | model.baselines(sequence, n_targets)
        sums = {name: sums.get(name, 0.0) + batch.n_counted * value.item() for name, value in losses.items()}
    n_targets_in_all = sum(window.n_targets for window in plan)
    sums_of_all = total(fabric, torch.tensor(list(sums.values()), dtype=torch.float64)).tolist()
    row = {name: value / n_targets_in_all for name, value in zip(sums, sums_of_all, strict=True)}
    return row | {f"skill_{n}": skill(row["loss"], row[n]) for n in row if n != "loss"}


def skill(loss: float, baseline: float) -> float:
    """In per cent: 0 is no better than the baseline, 100 is perfect."""
    return 100 * (1 - loss / baseline)


def learning_rate(step: int, settings: TrainingSettings) -> float:
    """A linear rise, then half a cosine to a tenth of the peak (Loshchilov & Hutter 2017)."""
    if step < settings.warmup_steps:
        return settings.learning_rate * (step + 1) / settings.warmup_steps
    share = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    cosine = (1 + math.cos(math.pi * min(share, 1.0))) / 2
    return settings.learning_rate * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)


def make_optimiser(predictor: Predictor, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over all of the predictor's weights."""
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(
            predictor.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.RMSprop(predictor.parameters(), settings.learning_rate)


def _check_finite(value: float, name: str, step: int, settings: TrainingSettings) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {name} at step {step} is {value}: training has diverged; "
            f"start again with a --learning-rate below {settings.learning_rate:g}"
        )


def _elements(batch: Batch, represent: Callable[[Tensor], Tensor], fabric: Fabric) -> tuple[Tensor, Tensor]:
    batch = fabric.to_device(batch)
    with torch.no_grad():
        return represent(torch.stack(batch.waveforms)), batch.n_targets


def _fitted(training: Corpus, settings: Settings, watcher: Watcher, fabric: Fabric) -> Checkpoint:
    """New weights, and what is fitted before training."""
    keep_freed_memory()
    torch.manual_seed(settings.training.seed)
    representation = make_representation(settings.representation)
    representation.fit(_counted_sweep(training, representation.margins, watcher, fabric), partial(total, fabric))
    representation.load_state_dict(fabric.broadcast(representation.state_dict()))
    predictor = make_predictor(settings, representation.shape)
    if fabric.is_global_zero:
        with torch.no_grad():
            predictor.fit(representation.transform(waveform) for waveform in sweep(training, representation.margins))
    predictor.load_state_dict(fabric.broadcast(predictor.state_dict()))
    return Checkpoint(settings, predictor, representation, split={})


def _split_again(corpus: Corpus, split: dict[str, Any]) -> tuple[Corpus, Corpus]:
    names = {recording.name for recording in corpus}
    if gone := [name for name in split["training"] + split["validation"] if name not in names]:
        raise CorpusError(f"{corpus.where}: the run was begun with {', '.join(gone)}, which cannot be used now")
    return corpus.subset(split["training"]), corpus.subset(split["validation"])


def _counted_sweep(corpus: Corpus, margins: tuple[int, int], watcher: Watcher, fabric: Fabric) -> Iterator[Tensor]:
    done, n_blocks = 0, sum(n for _, _, n in sweep_of(corpus))
    for waveform in prefetch(sweep(corpus, margins, rank=fabric.global_rank, n_ranks=fabric.world_size)):
        yield waveform
        done += (len(waveform) - sum(margins)) // BLOCK_SIZE * fabric.world_size  # the others are about as far
        watcher.fitting(min(done, n_blocks), n_blocks)


@torch.no_grad()
def _average(average: Predictor, predictor: Predictor, keep: float, step: int) -> None:
    """Draw averaged weights towards the trained ones; early ones are soon forgotten (Polyak & Juditsky 1992).

    Rolled out, averaged weights stray less than any step's own.
    """
    share = 1 - min(keep, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(predictor.parameters()), share)


def _save(
    run: Checkpoint,
    progress: Progress,
    predictor: Predictor,
    optimiser: torch.optim.Optimizer,
    out: Path,
    fabric: Fabric,
    *,
    is_best: bool,
) -> None:
    """Save, unless there is a weight that is no finite number: what was saved before is worth more."""
    weights = [*predictor.parameters(), *run.predictor.parameters()]
    largest = float(torch.stack([weight.detach().abs().max() for weight in weights]).max())
    _check_finite(largest, "largest weight", progress.step, run.settings.training)
    run.progress = asdict(progress)
    if fabric.is_global_zero:
        if is_best:
            checkpoint.save(run, out / BEST)
        checkpoint.save(run, out / LAST, resume=_resume_tensors(run, predictor, optimiser))
    fabric.barrier()  # whoever ends sooner has the first one killed by torchrun


def _resume_tensors(run: Checkpoint, predictor: Predictor, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory, and the weights as trained where the run's own are their average."""
    averaged = predictor is not run.predictor
    weights = {f"weights.{name}": value for name, value in predictor.named_parameters() if averaged}
    return weights | {
        f"optimiser.{index}.{name}": value
        for index, slots in optimiser.state_dict()["state"].items()
        for name, value in slots.items()
    }


def _restore(predictor: Predictor, optimiser: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `_resume_tensors` took."""
    weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
    predictor.load_state_dict(predictor.state_dict() | weights)
    state: dict[int, dict[str, Tensor]] = {}
    for full_name, value in tensors.items():
        room, *rest = full_name.split(".")
        if room == "optimiser":
            state.setdefault(int(rest[0]), {})[rest[1]] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


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
