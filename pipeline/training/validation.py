"""Validation: the loss on held-out rows, and the skill against two baselines that learn nothing."""

from typing import Any

import torch
from lightning_fabric import Fabric

from pipeline.codecs import Codec
from pipeline.distributed import sum_over_processes
from pipeline.models import Model
from pipeline.models.base import LossTerm
from pipeline.training.lanes import encode_rows
from pipeline.training.pieces import Stretch

LOSSES = ("loss", "mean", "repeat")  # of the model, and of two that learn nothing


@torch.no_grad()
def validate(model: Model[Any], codec: Codec, rows: list[list[Stretch]], fabric: Fabric) -> dict[str, float]:
    """The loss on held-out rows, that of each baseline, the skill against each, and the means of the loss's parts."""
    model.eval()
    sums: dict[str, LossTerm] = {}
    own = rows[fabric.global_rank :: fabric.world_size]
    for row in own or rows[:1]:  # all processes have the same parts; one without a row counts for nothing
        blocks = encode_rows([row], codec, fabric.device)
        with fabric.autocast():
            losses = {"loss": model.loss(blocks, model.init_state(1))[0]} | model.baselines(blocks)
        for of, parts in losses.items():
            for name, part in parts.items():
                known = sums.get(f"{of} {name}", LossTerm(torch.zeros(()), 0))
                counted = part if own else LossTerm(torch.zeros(()), 0)
                sums[f"{of} {name}"] = LossTerm(known.sum + counted.sum.cpu(), known.n + counted.n, part.weight)
    means = _means(sums, fabric)
    of_all = {
        of: sum(sums[key].weight * mean for key, mean in means.items() if key.startswith(f"{of} ")) for of in LOSSES
    }
    skills = {f"skill_{of}": skill(of_all["loss"], of_all[of]) for of in LOSSES[1:]}
    return of_all | skills | means


def skill(loss: float, baseline: float) -> float:
    """In per cent: 0 is no better than the baseline, 100 is perfect."""
    return 100 * (1 - loss / baseline)


def _means(losses: dict[str, LossTerm], fabric: Fabric) -> dict[str, float]:
    """The mean of each part over all processes, which all have the same parts."""
    sums = torch.tensor([[float(part.sum), part.n] for part in losses.values()], dtype=torch.float64)
    summed = sum_over_processes(fabric, sums)
    return dict(zip(losses, (summed[:, 0] / summed[:, 1].clamp(min=1)).tolist(), strict=True))
