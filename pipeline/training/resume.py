"""What a run goes on from: saved beside the model, and restored to the bit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from pipeline import checkpoint
from pipeline.config import BEST, LAST
from pipeline.distributed import lost_process_reported, sum_over_processes
from pipeline.models import Model
from pipeline.models.base import select_rows
from pipeline.training.begin import Run
from pipeline.training.validation import check_finite


def save(
    run: Run, model: Model[Any], optimiser: torch.optim.Optimizer, state: Any, fabric: Fabric, *, is_best: bool
) -> None:
    """Save, unless there is a weight that is no finite number: what was saved before is worth more."""
    weights = [*model.parameters(), *run.checkpoint.model.parameters()]
    largest = float(torch.stack([weight.detach().abs().max() for weight in weights]).max())
    check_finite(largest, "largest weight", run.progress.step, run.settings.training)
    run.checkpoint.progress = asdict(run.progress)
    resume = _resume_tensors(run, model, optimiser, state, fabric)
    if fabric.is_global_zero:
        if is_best:
            checkpoint.save(run.checkpoint, run.folder / BEST)
        checkpoint.save(run.checkpoint, run.folder / LAST, resume=resume)
    with lost_process_reported(fabric):
        fabric.barrier()  # torchrun would kill the first process as soon as another one ends


def restore(run: Run, model: Model[Any], optimiser: torch.optim.Optimizer, state: Any, fabric: Fabric) -> Any:
    """Put weights and the optimiser's state back as they were saved, and return the state of the process's lanes."""
    tensors = checkpoint.load_resume(run.folder / LAST)
    weights = {name.removeprefix("weights."): t for name, t in tensors.items() if name.startswith("weights.")}
    model.load_state_dict(model.state_dict() | weights)
    slots: dict[int, dict[str, Tensor]] = {}
    for full_name, value in tensors.items():
        part, *rest = full_name.split(".")
        if part == "optimiser":
            slots.setdefault(int(rest[0]), {})[rest[1]] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    leaves, structure = tree_flatten(state)
    of_lanes = tree_unflatten([tensors[f"state.{n}"].to(fabric.device) for n in range(len(leaves))], structure)
    return select_rows(of_lanes, lanes_of(run, fabric))


def delete_saved(folder: Path) -> None:
    """Delete what an older run has left in a folder."""
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)


def lanes_of(run: Run, fabric: Fabric) -> Tensor:
    """Which lanes are the rows of this process, (n_rows,): see `pipeline.training.lanes.batches`."""
    n_sound = run.settings.training.batch_size
    with_sound = range(fabric.global_rank, n_sound, fabric.world_size)
    return torch.tensor([*with_sound, *range(n_sound + fabric.global_rank, run.n_lanes, fabric.world_size)])


def _resume_tensors(
    run: Run, model: Model[Any], optimiser: torch.optim.Optimizer, state: Any, fabric: Fabric
) -> dict[str, Tensor]:
    """The optimiser's state, that of all lanes, and the trained weights where the checkpoint's are an average."""
    averaged = model is not run.checkpoint.model
    tensors = {f"weights.{name}": value for name, value in model.named_parameters() if averaged}
    tensors |= {
        f"optimiser.{index}.{name}": value
        for index, slots in optimiser.state_dict()["state"].items()
        for name, value in slots.items()
    }
    of_lanes = [_gathered(value, run, fabric) for value in tree_leaves(state)]
    return tensors | {f"state.{index}": value for index, value in enumerate(of_lanes)}


def _gathered(value: Tensor, run: Run, fabric: Fabric) -> Tensor:
    """Rows of all processes in the order of their lanes."""
    rows = value.new_zeros(run.n_lanes, *value.shape[1:])
    rows[lanes_of(run, fabric).to(value.device)] = value.detach()
    return sum_over_processes(fabric, rows)
