"""Validation: the loss on held-out rows, and the skill against two baselines that learn nothing."""

import math
from typing import Any

import torch
from lightning_fabric import Fabric

from pipeline.codecs import Codec
from pipeline.config import TrainingSettings
from pipeline.distributed import sum_over_processes
from pipeline.errors import TrainingError
from pipeline.models import Model
from pipeline.models.base import LossTerm
from pipeline.training.lanes import encode_rows
from pipeline.training.pieces import Span

LOSSES = ("loss", "mean", "repeat")  # of the model, and of two that learn nothing


@torch.no_grad()
def validate(model: Model[Any], codec: Codec, rows: list[list[Span]], fabric: Fabric) -> dict[str, float]:
    """The loss on held-out rows, that of each baseline, the skill against each, and the mean of each term of a loss."""
    model.eval()
    sums: dict[str, LossTerm] = {}
    own = rows[fabric.global_rank :: fabric.world_size]
    for row in own or rows[:1]:  # all processes have the same terms; one without a row counts for nothing
        blocks = encode_rows([row], codec, fabric.device)
        with fabric.autocast():
            losses = {"loss": model.loss(blocks, model.init_state(1))[0]} | model.baselines(blocks)
        for of, terms in losses.items():
            for name, term in terms.items():
                known = sums.get(f"{of} {name}", LossTerm(torch.zeros(()), 0))
                counted = term if own else LossTerm(torch.zeros(()), 0)
                sums[f"{of} {name}"] = LossTerm(known.sum + counted.sum.cpu(), known.n + counted.n, term.weight)
    means = _means(sums, fabric)
    of_all = {
        of: sum(sums[key].weight * mean for key, mean in means.items() if key.startswith(f"{of} ")) for of in LOSSES
    }
    skills = {f"skill_{of}": skill(of_all["loss"], of_all[of]) for of in LOSSES[1:]}
    return of_all | skills | means


def skill(loss: float, baseline: float) -> float:
    """In per cent: 0 is no better than the baseline, 100 is perfect."""
    return 100 * (1 - loss / baseline)


def check_finite(value: float, name: str, step: int, settings: TrainingSettings) -> None:
    """Raise TrainingError if a value of a step is no finite number."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the {name} at step {step} is {value}: training has diverged; "
            f"start again with a --learning-rate below {settings.learning_rate:g}"
        )


def _means(losses: dict[str, LossTerm], fabric: Fabric) -> dict[str, float]:
    """The mean of each term over all processes, which all have the same terms."""
    sums = torch.tensor([[float(term.sum), term.n] for term in losses.values()], dtype=torch.float64)
    summed = sum_over_processes(fabric, sums)
    return dict(zip(losses, (summed[:, 0] / summed[:, 1].clamp(min=1)).tolist(), strict=True))
