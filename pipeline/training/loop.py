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
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.codecs import Codec, make_codec
from pipeline.config import BEST, LAST, Settings, TrainingSettings, note_rows
from pipeline.distributed import join, mixed, total
from pipeline.errors import TrainingError
from pipeline.memory import keep_freed_memory
from pipeline.models import Latents, Losses, Model, State, make_model
from pipeline.models.base import Part, total_of
from pipeline.prompts import choose_passages
from pipeline.training.lanes import batches, encode_batch, encode_rows, prefetch
from pipeline.training.lineage import ancestors_with, named_split, trained_on
from pipeline.training.pieces import (
    HELD_OUT_SEQUENCES,
    MOST_EXCERPTS,
    SWEEP_BLOCKS,
    Piece,
    Stretch,
    excerpts,
    fitted_to,
    held_out_rows,
    midi_pieces,
    pieces_of,
)
from waveforms.corpus import Corpus
from waveforms.corpus.works import work_of
from waveforms.errors import CorpusError

LOSSES = ("loss", "mean", "repeat")  # of the model, and of two that learn nothing
FINAL_SHARE = 0.1  # of the peak learning rate, where the cosine ends


@dataclass
class Progress:
    """Where a run stands; with the tensors, all that its future depends on."""

    step: int = 0
    best_loss: float | None = None
    n_worse: int = 0
    seconds: float = 0.0

    def is_over(self, settings: TrainingSettings) -> bool:
        """Whether a run that stands here has come to its end: all steps done, or no better for too long."""
        return self.step >= settings.steps or self.n_worse >= settings.patience


class Watcher(Protocol):
    """Who is told how training goes: the command line's progress bar, TensorBoard. Here, nobody is."""

    def listening(self, done: float, total: float) -> None:
        """The notes of so many seconds of recordings are known."""
        return

    def fitting(self, done: int, total: int) -> None:
        """So much of the codec is fitted."""
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
    music: Path | None = None,
) -> Checkpoint:
    """A fresh run: split, prompts, fitted codec and new weights, or those of a checkpoint.

    Args:
        corpus: to learn from.
        settings: all of them; those of what is taken from `learned` are its own.
        held_out: names and patterns of recordings, or None for a share of them; whole works, and nothing that
            `learned` or an ancestor of it was trained on.
        watcher: is told how it goes.
        learned: what to go on from with another corpus.
        music: a folder of MIDI files to learn from as well, but for those of works that are held out.

    Raises:
        CorpusError: the corpus cannot be split as asked, nothing is left to hold out, or no MIDI file is usable.
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
    names = _choose_music(music, validation, watcher) if music else []
    run = learned or _fitted(training, settings, watcher, fabric)
    return Checkpoint(
        settings=settings,
        model=run.model,
        codec=run.codec,
        split=named_split(training, validation, music, names),
        passages=choose_passages(fitted_to(pieces_of(validation, run.codec, watcher.listening), run.codec)),
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
        OutputError: a checkpoint cannot be written.
        SettingsError: a batch cannot be divided among the processes.
        TrainingError: a loss, a gradient or a weight is no longer a finite number; what was saved before stays.
    """
    settings = run.settings.training
    fabric = join(settings)
    watcher = watcher if fabric.is_global_zero else Unwatched()
    training, validation = _split_again(corpus, run.split)

    keep_freed_memory()
    codec = run.codec.to(fabric.device)
    pieces = fitted_to(pieces_of(training, codec, watcher.listening, watcher.noted), codec)
    unheard = fitted_to(pieces_of(validation, codec, watcher.listening, watcher.noted), codec)
    held_out = held_out_rows(unheard, settings.sequence_blocks, settings.validation_sequences)
    average = run.model.to(fabric.device)
    model = copy.deepcopy(average) if settings.averaging else average
    optimiser = make_optimiser(model, settings)
    learner, optimiser = fabric.setup(model, optimiser)
    learner.mark_forward_method("loss")
    progress = Progress(**run.progress)
    run.provenance.append({"first_step": progress.step} | checkpoint.versions())
    n_notes = note_rows(run.settings)
    state = model.start(len(_lanes_of(fabric.global_rank, run, fabric)))
    if progress.step:
        state = _restore(run, model, optimiser.optimizer, state, checkpoint.load_resume(out / LAST), fabric)

    stream = batches(
        pieces,
        [*pieces, *_music_again(run.split)],
        settings.batch_size,
        n_notes,
        settings.sequence_blocks,
        codec.margins,
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
            torch.manual_seed(mixed(settings.seed, progress.step, fabric.global_rank))  # of dropout and noise
            latents = encode_batch(batch, codec, fabric.device)
            with fabric.autocast():  # by itself, Fabric opens it only where several processes train
                parts, state = learner.loss(latents, tree_map(Tensor.detach, state))
            part = total_of(_of_all(parts, fabric))
            loss = total(fabric, part.detach()).item()
            _check_finite(loss, "loss", progress.step + 1, settings)
            fabric.backward(part * fabric.world_size)  # the processes' gradients are averaged, not added
            norm = fabric.clip_gradients(learner, optimiser, max_norm=settings.clip_norm, error_if_nonfinite=False)
            _check_finite(float(norm or 0.0), "gradient's norm", progress.step + 1, settings)
            optimiser.step()
            optimiser.zero_grad()
            if settings.averaging:
                _average(average, model, settings.averaging, progress.step)

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
                _check_finite(row["loss"], "held-out loss", progress.step, settings)
                row["seconds"] = progress.seconds = time.perf_counter() - since
                run.history.append(row)
                is_best = progress.best_loss is None or row["loss"] < progress.best_loss
                if is_best:
                    progress.best_loss = row["loss"]
                progress.n_worse = 0 if is_best else progress.n_worse + 1
                _save(run, progress, model, optimiser, state, out, fabric, is_best=is_best)
                watcher.validated(row, run, is_best)
                if progress.n_worse >= settings.patience:
                    reason = "early"
                    break
            if total(fabric, torch.tensor(float(stop_asked()))):  # any of them
                _save(run, progress, model, optimiser, state, out, fabric, is_best=False)
                reason = "stopped"
                break
    return Outcome(reason, run, progress)


@torch.no_grad()
def validate(model: Model, codec: Codec, rows: list[list[Stretch]], fabric: Fabric) -> dict[str, float]:
    """The loss on held-out rows, that of each baseline, the skill against each, and the means of the loss's parts."""
    model.eval()
    sums: dict[str, Part] = {}
    own = rows[fabric.global_rank :: fabric.world_size]
    for row in own or rows[:1]:  # all processes have the same parts; one without a row counts for nothing
        latents = encode_rows([row], codec, fabric.device)
        with fabric.autocast():
            losses = {"loss": model.loss(latents, model.start(1))[0]} | model.baselines(latents)
        for of, parts in losses.items():
            for name, part in parts.items():
                known = sums.get(f"{of} {name}", Part(torch.zeros(()), 0))
                counted = part if own else Part(torch.zeros(()), 0)
                sums[f"{of} {name}"] = Part(known.sum + counted.sum.cpu(), known.number + counted.number, part.weight)
    means = _means(sums, fabric)
    of_all = {
        of: sum(sums[key].weight * mean for key, mean in means.items() if key.startswith(f"{of} ")) for of in LOSSES
    }
    skills = {f"skill_{of}": skill(of_all["loss"], of_all[of]) for of in LOSSES[1:]}
    return of_all | skills | means


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


def make_optimiser(model: Model, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The optimiser that the settings name, over all of the model's weights."""
    if settings.optimiser == "adamw":
        return torch.optim.AdamW(
            model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
    return torch.optim.RMSprop(model.parameters(), settings.learning_rate)


def _check_finite(value: float, name: str, step: int, settings: TrainingSettings) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {name} at step {step} is {value}: training has diverged; "
            f"start again with a --learning-rate below {settings.learning_rate:g}"
        )


def _of_all(parts: Losses, fabric: Fabric) -> Losses:
    """Parts of one process, each to be divided by what it counts in all of them."""
    numbers = total(fabric, torch.tensor([float(part.number) for part in parts.values()])).long().tolist()
    return {name: part._replace(number=number) for (name, part), number in zip(parts.items(), numbers, strict=True)}


def _means(losses: dict[str, Part], fabric: Fabric) -> dict[str, float]:
    """The mean of each part over all processes, which all have the same parts."""
    sums = torch.tensor([[float(part.sum), part.number] for part in losses.values()], dtype=torch.float64)
    summed = total(fabric, sums)
    return dict(zip(losses, (summed[:, 0] / summed[:, 1].clamp(min=1)).tolist(), strict=True))


def _fitted(training: Corpus, settings: Settings, watcher: Watcher, fabric: Fabric) -> Checkpoint:
    """New weights, and what is fitted before training: by the first process, for all."""
    keep_freed_memory()
    torch.manual_seed(settings.training.seed)
    codec = make_codec(settings.codec)
    model = make_model(settings, codec)
    if fabric.is_global_zero:
        pieces = pieces_of(training, codec, watcher.listening)
        codec.fit(excerpts(pieces, codec.margins), watcher.fitting)
        with torch.no_grad():
            model.fit(_latents_of(fitted_to(pieces, codec), codec, fabric))
    codec.load_state_dict(fabric.broadcast(codec.state_dict()))
    model.load_state_dict(fabric.broadcast(model.state_dict()))
    return Checkpoint(settings, model, codec, split={})


def _latents_of(pieces: list[Piece], codec: Codec, fabric: Fabric) -> Iterator[Latents]:
    """All pieces, or some of many, to fit a model on."""
    for row in held_out_rows(pieces, SWEEP_BLOCKS // HELD_OUT_SEQUENCES, MOST_EXCERPTS * HELD_OUT_SEQUENCES):
        yield encode_rows([row], codec, fabric.device)


def _choose_music(folder: Path, validation: Corpus, watcher: Watcher) -> list[str]:
    """Names of the MIDI files to learn from."""
    pieces, problems = midi_pieces(folder)
    held_out = {recording.work for recording in validation}
    names = [piece.name for piece in pieces if work_of(piece.name) not in held_out]
    for problem in problems:
        watcher.noted(f"left out: {problem}")
    if len(names) < len(pieces):
        watcher.noted(f"{folder}: {len(pieces) - len(names)} MIDI files are of works that are held out, and left aside")
    if not names:
        raise CorpusError(f"{folder}: no MIDI file is left to learn from")
    return names


def _music_again(split: dict[str, Any]) -> list[Piece]:
    """The MIDI files that a run was begun with."""
    folder, names = split["music"]["folder"], set(split["music"]["names"])
    if not names:
        return []
    pieces = [piece for piece in midi_pieces(Path(folder))[0] if piece.name in names]
    if gone := sorted(names - {piece.name for piece in pieces}):
        raise CorpusError(f"{folder}: the run was begun with {', '.join(gone)}, which cannot be used now")
    return pieces


def _split_again(corpus: Corpus, split: dict[str, Any]) -> tuple[Corpus, Corpus]:
    names = {recording.name for recording in corpus}
    if gone := [name for name in split["training"] + split["validation"] if name not in names]:
        raise CorpusError(f"{corpus.where}: the run was begun with {', '.join(gone)}, which cannot be used now")
    return corpus.subset(split["training"]), corpus.subset(split["validation"])


@torch.no_grad()
def _average(average: Model, model: Model, keep: float, step: int) -> None:
    """Draw averaged weights towards the trained ones; early ones are soon forgotten (Polyak & Juditsky 1992).

    Rolled out, averaged weights stray less than any step's own.
    """
    share = 1 - min(keep, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)


def _save(
    run: Checkpoint,
    progress: Progress,
    model: Model,
    optimiser: torch.optim.Optimizer,
    state: State,
    out: Path,
    fabric: Fabric,
    *,
    is_best: bool,
) -> None:
    """Save, unless there is a weight that is no finite number: what was saved before is worth more."""
    weights = [*model.parameters(), *run.model.parameters()]
    largest = float(torch.stack([weight.detach().abs().max() for weight in weights]).max())
    _check_finite(largest, "largest weight", progress.step, run.settings.training)
    run.progress = asdict(progress)
    resume = _resume_tensors(run, model, optimiser, state, fabric)
    if fabric.is_global_zero:
        if is_best:
            checkpoint.save(run, out / BEST)
        checkpoint.save(run, out / LAST, resume=resume)
    fabric.barrier()  # whoever ends sooner has the first one killed by torchrun


def _resume_tensors(
    run: Checkpoint, model: Model, optimiser: torch.optim.Optimizer, state: State, fabric: Fabric
) -> dict[str, Tensor]:
    """The optimiser's memory, the state of all lanes, and the weights as trained where the run's own are an average."""
    averaged = model is not run.model
    tensors = {f"weights.{name}": value for name, value in model.named_parameters() if averaged}
    tensors |= {
        f"optimiser.{index}.{name}": value
        for index, slots in optimiser.state_dict()["state"].items()
        for name, value in slots.items()
    }
    of_lanes = [_gathered(value, run, fabric) for value in tree_leaves(state)]
    return tensors | {f"state.{index}": value for index, value in enumerate(of_lanes)}


def _restore(
    run: Checkpoint,
    model: Model,
    optimiser: torch.optim.Optimizer,
    state: State,
    tensors: dict[str, Tensor],
    fabric: Fabric,
) -> State:
    """Put back what `_resume_tensors` took."""
    weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
    model.load_state_dict(model.state_dict() | weights)
    slots: dict[int, dict[str, Tensor]] = {}
    for full_name, value in tensors.items():
        room, *rest = full_name.split(".")
        if room == "optimiser":
            slots.setdefault(int(rest[0]), {})[rest[1]] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    own = _lanes_of(fabric.global_rank, run, fabric)
    leaves, structure = tree_flatten(state)
    return tree_unflatten([tensors[f"state.{n}"][own].to(fabric.device) for n in range(len(leaves))], structure)


def _gathered(value: Tensor, run: Checkpoint, fabric: Fabric) -> Tensor:
    """Rows of all processes in the order of their lanes."""
    n_lanes = run.settings.training.batch_size + note_rows(run.settings)
    rows = value.new_zeros(n_lanes, *value.shape[1:])
    rows[_lanes_of(fabric.global_rank, run, fabric).to(value.device)] = value.detach()
    return total(fabric, rows)


def _lanes_of(rank: int, run: Checkpoint, fabric: Fabric) -> Tensor:
    """Which lanes are a process's rows: see `pipeline.training.lanes.batches`."""
    n_sound, n_notes = run.settings.training.batch_size, note_rows(run.settings)
    of_notes = range(n_sound + rank, n_sound + n_notes, fabric.world_size)
    return torch.tensor([*range(rank, n_sound, fabric.world_size), *of_notes])


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
