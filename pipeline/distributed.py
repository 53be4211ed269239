"""Several processes that train or render together: torchrun or srun starts them, Lightning Fabric connects them.

Each runs the same program on its share of the data (data parallelism); the first one, of rank 0, writes files and
prints. A process that was started alone calls the same functions, which then do nothing.
"""

import ctypes
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import SettingsError, TrainingError
from waveforms.errors import QuarterwaveError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")

TIMEOUT = timedelta(days=1)  # of a collective: another process may have more to do; one that ends is noticed at once

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of malloc.h


class SingleProcess:
    """The part of `Fabric` that rendering needs, for one process: importing Fabric takes a second."""

    global_rank, world_size, is_global_zero = 0, 1, True

    def broadcast(self, value: T) -> T:
        """Return the first process's value."""
        return value

    def barrier(self) -> None:
        """Wait for all processes."""


def connect_to_train(precision: str, batch_size: int) -> "Fabric":
    """Connect the processes of this job. A second call gives the same processes.

    Args:
        precision: of the network's arithmetic, "float32" or "bfloat16".
        batch_size: rows of a batch, over all processes.

    Raises:
        SettingsError: they cannot be connected, or a batch cannot be divided among them.
    """
    fabric = _connect(*launched_processes(), precision)
    if batch_size % fabric.world_size:
        raise SettingsError(
            f"batch_size must be a multiple of the number of processes, {fabric.world_size}, and not {batch_size}"
        )
    return fabric


def connect_to_render() -> "Fabric | SingleProcess":
    """Connect the processes of this job.

    Raises:
        SettingsError: they cannot be connected.
    """
    n_on_node, n_nodes = launched_processes()
    return SingleProcess() if n_on_node * n_nodes == 1 else _connect(n_on_node, n_nodes, "float32")


def launched_processes(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """How many processes the launcher started on this node, and on how many nodes.

    An interactive shell under SLURM counts as one process, as it does for Fabric.
    """
    if "TORCHELASTIC_RUN_ID" in environment:
        n_on_node = int(environment["LOCAL_WORLD_SIZE"])
        return n_on_node, int(environment["WORLD_SIZE"]) // n_on_node
    if "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
        return int(environment.get("SLURM_NTASKS_PER_NODE", 1)), int(environment.get("SLURM_NNODES", 1))
    return 1, 1


def broadcast_from_first(fabric: "Fabric", make: Callable[[], T]) -> T:
    """Call `make` on the first process and give its result to all, which wait for it.

    Raises:
        QuarterwaveError: the one that `make` raised, on all processes.
        TrainingError: another process has ended.
    """
    made: T | QuarterwaveError | None = None
    with lost_process_reported(fabric), fabric.rank_zero_first():
        if fabric.is_global_zero:
            try:
                made = make()
            except QuarterwaveError as error:
                made = error
    with lost_process_reported(fabric):
        made = fabric.broadcast(made)
    if isinstance(made, QuarterwaveError):
        raise made
    return made  # type: ignore[return-value]  # None is only what the others bring


def sum_over_processes(fabric: "Fabric", part: Tensor) -> Tensor:
    """Sum a tensor over all processes, the same to the bit on each.

    Shape:
        (...) -> (...)

    Raises:
        TrainingError: another process has ended.
    """
    if fabric.world_size == 1:
        return part
    with lost_process_reported(fabric):
        summed: Tensor = fabric.all_reduce(part.clone(), reduce_op="sum")  # type: ignore[assignment]
    return summed.to(part.device)


@contextmanager
def lost_process_reported(fabric: "Fabric") -> Iterator[None]:
    """Turn the error of an exchange between processes into a sentence; wraps nothing but such exchanges.

    Gloo raises a bare RuntimeError where another process has ended, so only the place shows what it means.

    Raises:
        TrainingError: another process has ended.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if fabric.world_size == 1:
            raise
        raise TrainingError(
            f"another process of this job has ended; --resume goes on from the last save ({error})"
        ) from error


def derive_seed(*numbers: int) -> int:
    """A seed for one part of the work, such as (seed, step, rank), independent of the seeds of all other parts."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory for this process; with another C library nothing happens.

    A training step allocates and frees gigabytes in large pieces. glibc returns these to the system at once, and every
    fresh page costs a fault and is zeroed. Kept, a step took a third less time, and 32 clips at once were rendered more
    than twice as fast when this was measured, with another model (docs/experiments.md, sections 10 and 13).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, -1)  # never
    mallopt(_TOP_PAD, 2**28)


def _connect(n_on_node: int, n_nodes: int, precision: str) -> "Fabric":
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # each process would introduce itself
    strategy = DDPStrategy(timeout=TIMEOUT) if n_on_node * n_nodes > 1 else "auto"
    plugins = [_network_in_bfloat16()] if precision == "bfloat16" else None
    try:
        fabric = Fabric(strategy=strategy, devices=n_on_node, num_nodes=n_nodes, plugins=plugins)
        fabric.launch()
    except (MisconfigurationException, RuntimeError, ValueError) as error:
        raise SettingsError(f"the processes of this job cannot be connected: {error}") from error
    return fabric


def _network_in_bfloat16() -> Any:
    """Mixed precision that leaves a model's inputs as they are.

    Latents are targets as well, and sums of powers make the expected sound: neither may be rounded to bfloat16.
    """
    from lightning_fabric.plugins.precision import MixedPrecision

    class NetworkInBfloat16(MixedPrecision):
        def convert_input(self, data: Any) -> Any:
            return data

    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return NetworkInBfloat16("bf16-mixed", device=accelerator.type if accelerator else "cpu")
