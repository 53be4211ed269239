"""What a run goes on from: saved beside the model, and put back to the bit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from pipeline import checkpoint
from pipeline.checkpoint import Checkpoint
from pipeline.config import BEST, LAST
from pipeline.distributed import lost_process_reported, sum_over_processes
from pipeline.models import Model
from pipeline.models.base import select_rows
from pipeline.training.progress import Progress, check_finite


def save(
    run: Checkpoint,
    progress: Progress,
    model: Model[Any],
    optimiser: torch.optim.Optimizer,
    state: Any,
    out: Path,
    fabric: Fabric,
    *,
    is_best: bool,
) -> None:
    """Save, unless there is a weight that is no finite number: what was saved before is worth more."""
    weights = [*model.parameters(), *run.model.parameters()]
    largest = float(torch.stack([weight.detach().abs().max() for weight in weights]).max())
    check_finite(largest, "largest weight", progress.step, run.settings.training)
    run.progress = asdict(progress)
    resume = _resume_tensors(run, model, optimiser, state, fabric)
    if fabric.is_global_zero:
        if is_best:
            checkpoint.save(run, out / BEST)
        checkpoint.save(run, out / LAST, resume=resume)
    with lost_process_reported(fabric):
        fabric.barrier()  # torchrun would kill the first process as soon as another one ends


def restore(
    run: Checkpoint,
    model: Model[Any],
    optimiser: torch.optim.Optimizer,
    state: Any,
    tensors: dict[str, Tensor],
    fabric: Fabric,
) -> Any:
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
    own = lanes_of(fabric.global_rank, run, fabric)
    leaves, structure = tree_flatten(state)
    of_lanes = tree_unflatten([tensors[f"state.{n}"].to(fabric.device) for n in range(len(leaves))], structure)
    return select_rows(of_lanes, own)


def lanes_of(rank: int, run: Checkpoint, fabric: Fabric) -> Tensor:
    """Which lanes are a process's rows: see `pipeline.training.lanes.batches`."""
    n_sound, n_notes = run.settings.training.batch_size, run.settings.model.note_sequences
    of_notes = range(n_sound + rank, n_sound + n_notes, fabric.world_size)
    return torch.tensor([*range(rank, n_sound, fabric.world_size), *of_notes])


def _resume_tensors(
    run: Checkpoint, model: Model[Any], optimiser: torch.optim.Optimizer, state: Any, fabric: Fabric
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


def _gathered(value: Tensor, run: Checkpoint, fabric: Fabric) -> Tensor:
    """Rows of all processes in the order of their lanes."""
    n_lanes = run.settings.training.batch_size + run.settings.model.note_sequences
    rows = value.new_zeros(n_lanes, *value.shape[1:])
    rows[lanes_of(fabric.global_rank, run, fabric).to(value.device)] = value.detach()
    return sum_over_processes(fabric, rows)
