"""Which keys are struck in a slice, told one after the other from the lowest up, until no more is.

A chord is a set; told key after key, each knows those below it (Larochelle & Murray, "The Neural Autoregressive
Distribution Estimator", 2011; Boulanger-Lewandowski et al., "Modeling Temporal Dependencies in High-Dimensional
Sequences", 2012, did so for chords). Told as a list, a slice where nothing begins costs one question and not 88.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.predictors.chance import draw_one
from pipeline.settings import Sampling

WIDTH = 384


class Keys(nn.Module):
    """Guides -> keys; the answer after the highest is `n_keys`, "no more"."""

    def __init__(self, guide: int, n_keys: int) -> None:
        super().__init__()
        self.n_keys = n_keys
        self.lead = nn.Linear(guide, WIDTH)
        self.hear = nn.Linear(n_keys, WIDTH, bias=False)
        self.deep = nn.Linear(WIDTH, WIDTH)
        self.leave = nn.Linear(WIDTH, n_keys + 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def fit(self, keys: Tensor) -> None:
        """Begin with how often each answer comes.

        Shape:
            (n, n_keys)
        """
        counts = torch.cat([keys.sum(0), keys.new_tensor([len(keys)])]) + 1.0
        with torch.no_grad():
            self.leave.bias.copy_((counts / counts.sum()).log())

    def loss(self, guides: Tensor, keys: Tensor) -> Tensor:
        """The mean of -log P(keys), in nats a slice.

        Shape:
            (n, guide), (n, n_keys) -> ()
        """
        row, answer = keys.nonzero(as_tuple=True)
        rows = torch.cat([row, torch.arange(len(keys), device=keys.device)])
        answers = torch.cat([answer, answer.new_full((len(keys),), self.n_keys)])
        told = keys[rows] * (torch.arange(self.n_keys, device=keys.device) < answers[:, None])
        led = self.lead(guides)
        # index_select: on a CPU, the way back of led[row] adds in any order, and no two runs are the same to the bit.
        logits = self._logits(torch.cat([led.index_select(0, row), led]), told).float()
        return F.cross_entropy(logits, answers, reduction="sum") / max(len(keys), 1)

    def baselines(self, keys: Tensor, before: Tensor) -> dict[str, Tensor]:
        """The loss if each key came as often as here whatever else is struck, and as often after itself or not.

        Shape:
            (..., n_keys), (..., n_keys)
        """
        keys, before = keys.flatten(0, -2), before.flatten(0, -2)
        again = (before * _surprise(keys, before) + (1 - before) * _surprise(keys, 1 - before)).sum(-1).mean()
        return {"mean": _surprise(keys, torch.ones_like(keys)).sum(-1).mean(), "repeat": again}

    def draw(self, guide: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """Draw the keys of a slice.

        When keys are struck, and how many, is left to chance whatever `sampling` says; it is about which. In most
        slices none is, so at a low temperature nothing would be played at all.

        Shape:
            (n_clips, guide) -> (n_clips, n_keys)
        """
        led = self.lead(guide)
        keys = torch.zeros(len(guide), self.n_keys, device=guide.device)
        over = torch.zeros(len(guide), dtype=torch.bool, device=guide.device)
        while not over.all():
            logits = self._logits(led, keys)
            no_more = logits.softmax(-1)[:, -1]  # 1 where no key is left
            over = over | (torch.rand(len(guide), generator=generator, device=guide.device) < no_more)
            answers = draw_one(logits[:, :-1].where(~over[:, None], 0.0), generator, sampling)
            keys = keys + F.one_hot(answers, self.n_keys) * ~over[:, None]
        return keys

    def _logits(self, led: Tensor, told: Tensor) -> Tensor:
        """(n, WIDTH), (n, n_keys) -> (n, n_keys + 1); a key at or below the highest told is out of the question."""
        x = F.silu(led + self.hear(told))
        x = x + F.silu(self.deep(x))
        above = told.flip(-1).cumsum(-1).flip(-1) == 0  # keys with none told at or above them
        logits: Tensor = self.leave(x)
        return logits.masked_fill(~F.pad(above, (0, 1), value=True), float("-inf"))


def _surprise(keys: Tensor, counted: Tensor) -> Tensor:
    """-log P of each key being struck or not, P being how often it is where it counts; (n, n_keys) -> (n, n_keys)."""
    rates = ((keys * counted).sum(0) / counted.sum(0).clamp(min=1)).clamp(1e-6, 1 - 1e-6)
    return -torch.where(keys > 0, rates.log(), (1 - rates).log())
