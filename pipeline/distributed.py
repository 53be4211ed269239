"""Several processes at work on one thing, as torchrun or srun started them and Lightning Fabric joins them.

Each runs the same program on a part of the data. Fabric's calls cost one process by itself nothing.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.config import TrainingSettings
from pipeline.errors import SettingsError, TrainingError
from waveforms.errors import QuarterwaveError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

PATIENCE = timedelta(days=1)  # with one that has more to do; one that has died is noticed at once

_PRECISIONS: dict[str, Any] = {"float32": "32-true", "bfloat16": "bf16-mixed"}


class Alone:
    """One process by itself, for programs that need no Fabric and are spared the second that its import takes."""

    global_rank, world_size, is_global_zero = 0, 1, True

    def broadcast(self, thing: T) -> T:
        """What the first process has."""
        return thing

    def barrier(self) -> None:
        """Wait for all."""


def join(settings: TrainingSettings) -> "Fabric":
    """The processes of this job, ready to train together. Called again, it joins the same.

    Raises:
        SettingsError: they cannot be joined, or a batch cannot be divided among them.
    """
    n_on_node, n_nodes = _started()
    fabric = _joined(n_on_node, n_nodes, _PRECISIONS[settings.precision])
    if settings.batch_size % fabric.world_size:
        raise SettingsError(
            f"batch_size must be a multiple of the number of processes, {fabric.world_size}, "
            f"and not {settings.batch_size}"
        )
    return fabric


def company() -> "Fabric | Alone":
    """The processes of this job, ready to render together.

    Raises:
        SettingsError: they cannot be joined.
    """
    n_on_node, n_nodes = _started()
    return Alone() if n_on_node * n_nodes == 1 else _joined(n_on_node, n_nodes, _PRECISIONS["float32"])


def from_first(fabric: "Fabric", make: Callable[[], T]) -> T:
    """What the first process makes, given to all, who wait as long as it takes.

    Raises:
        QuarterwaveError: the fault that it met there, on all alike.
    """
    made: T | QuarterwaveError | None = None
    with fabric.rank_zero_first():
        if fabric.is_global_zero:
            try:
                made = make()
            except QuarterwaveError as error:
                made = error
    made = fabric.broadcast(made)
    if isinstance(made, QuarterwaveError):
        raise made
    return made  # type: ignore[return-value]  # None is only what the others bring


def total(fabric: "Fabric", part: Tensor) -> Tensor:
    """The sum of a tensor over all processes, the same to the bit on each.

    Shape:
        (...) -> (...)
    """
    if fabric.world_size == 1:
        return part
    summed: Tensor = fabric.all_reduce(part.clone(), reduce_op="sum")  # type: ignore[assignment]
    return summed.to(part.device)


@contextmanager
def loss_of_others_told() -> Iterator[None]:
    """Turn what the network reports, when another process of this job is no more, into a sentence.

    Raises:
        TrainingError: another process is no more.
    """
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "gloo" not in str(error):
            raise
        raise TrainingError("another process of this job has ended; --resume goes on from the last save") from error


def mixed(*numbers: int) -> int:
    """A seed for one part of the work, such as (seed, step, rank), unlike that of any other."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _joined(n_on_node: int, n_nodes: int, precision: Any) -> "Fabric":
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would introduce itself
    try:
        strategy = DDPStrategy(timeout=PATIENCE) if n_on_node * n_nodes > 1 else "auto"
        fabric = Fabric(strategy=strategy, devices=n_on_node, num_nodes=n_nodes, precision=precision)
        # Latents are targets, too, and sums of powers make the expected sound: neither is to be rounded to bfloat16.
        fabric.strategy.precision.convert_input = lambda data: data  # type: ignore[method-assign]
        fabric.launch()
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise SettingsError(f"the processes of this job cannot be joined: {error}") from error
    return fabric


def _started() -> tuple[int, int]:
    """Processes on this node, and nodes. A shell that SLURM gave is one process, as Fabric has it."""
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env:
        n_on_node = int(env["LOCAL_WORLD_SIZE"])
        return n_on_node, int(env["WORLD_SIZE"]) // n_on_node
    if "SLURM_NTASKS" in env and env.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        return int(env.get("SLURM_NTASKS_PER_NODE", 1)), int(env.get("SLURM_NNODES", 1))
    return 1, 1
