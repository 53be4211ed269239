"""The softmax head: what comes next as probabilities of codes, from which one is drawn.

What is new in a slice is told by `stages` codes: the first names the entry of a codebook that is nearest to it, each
further one the entry nearest to what is left over (residual vector quantisation; Juang & Gray 1982, Zeghidour et al.
2021). Each stage has a network of its own that reads what the stages before it have told (Lee et al., "Autoregressive
Image Generation using Residual Quantization", 2022).
"""

import warnings
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.elements import Shape
from pipeline.errors import SettingsError
from pipeline.predictors.base import Head
from pipeline.predictors.chance import draw_one
from pipeline.predictors.within import Within
from pipeline.settings import CodesSettings, Sampling

N_ROUNDS = 12  # of k-means


class Codes(Head):
    """LSTM's state -> codes of the next block's slices, one drawn after the other; the loss is in nats a code."""

    codebooks: Tensor  # (stages, codes, size)
    shares: Tensor  # (stages, codes): how often each code comes

    drawn_by = ("temperature", "top_k", "top_p")

    def __init__(self, settings: CodesSettings, width: int, shape: Shape) -> None:
        super().__init__()
        stages, n_codes, inner = settings.stages, settings.codes, settings.code_width
        self.shape = shape
        self.within = Within(width, settings.guide, shape, settings.feedback_noise)
        self.lead = _Stages(stages, self.within.guide_size, inner)
        self.hear_told = _Stages(stages, shape.n_numbers, inner)
        self.deep = _Stages(stages, inner, inner)
        self.leave = _Stages(stages, inner, n_codes)
        nn.init.zeros_(self.leave.weight)
        self.register_buffer("codebooks", torch.zeros(stages, n_codes, shape.n_numbers))
        self.register_buffer("shares", torch.full((stages, n_codes), 1 / n_codes))

    def fit(self, elements: Iterable[Tensor]) -> None:
        """Learn the codebooks: k-means (Lloyd 1982) of innovations spread evenly over the training split.

        Raises:
            SettingsError: there are fewer pairs of neighbouring slices than codes.
        """
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        left = self.within.fit(elements).numpy()
        n_codes = self.codebooks.shape[1]
        if len(left) < n_codes:
            raise SettingsError(f"codes must be at most {len(left)}, the corpus's pairs of slices, and not {n_codes}")
        for codebook, shares in zip(self.codebooks, self.shares, strict=True):
            means = KMeans(n_codes, init="random", n_init=1, max_iter=N_ROUNDS, tol=0.0, random_state=0)
            with warnings.catch_warnings():  # where slices repeat, as silence does, some entries may be left without
                warnings.simplefilter("ignore", ConvergenceWarning)
                means.fit(left)
            left = left - means.cluster_centers_[means.labels_]
            codebook.copy_(torch.from_numpy(means.cluster_centers_))
            counts = torch.bincount(torch.from_numpy(means.labels_), minlength=n_codes) + 1.0  # none is impossible
            shares.copy_(counts / counts.sum())
        with torch.no_grad():
            self.leave.bias.copy_(self.shares.log()[:, None])  # training begins at a skill of 0

    def loss(self, past: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy of a code, and the keys' loss.

        Shape:
            (n, width), (n, dim), (n, dim) -> ()
        """
        guides, innovations, keys = self.within(past, previous, targets)
        codes, told = self._encode(innovations)  # (stages, n, n_slices), (stages, n, n_slices, size)
        logits = self._logits(guides.flatten(0, 1), told.flatten(1, 2))
        loss: Tensor = F.cross_entropy(logits.float().flatten(0, 1), codes.flatten()) + keys
        return loss

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The cross-entropy if codes came as often as in all, and if a share of slices, the best one, were repeated;
        `Keys.baselines` added.
        """
        slices, before = self.within.neighbours(previous, targets)
        codes, _ = self._encode(self.within.innovations_of(slices, before))
        repeated, _ = self._encode(self.within.innovations_of(before, before))
        keys = self.within.keys.baselines(self.shape.keys(slices), self.shape.keys(before))
        chance = torch.stack([share[code] for share, code in zip(self.shares, codes, strict=True)])
        stays = (codes == repeated).float()
        often = stays.mean(dim=(1, 2), keepdim=True)
        again = -(often * stays + (1 - often) * chance).log().mean()
        return {"mean": keys["mean"] - chance.log().mean(), "repeat": keys["repeat"] + again}

    def draw(self, past: Tensor, previous: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """Draw the next block, code after code.

        Shape:
            (n_clips, width), (n_clips, dim) -> (n_clips, dim)
        """

        def draw(guide: Tensor) -> Tensor:
            told = torch.zeros(len(past), self.shape.n_numbers, device=past.device)
            for stage, codebook in enumerate(self.codebooks):
                logits = self._logits(guide, told[None], slice(stage, stage + 1))[0]
                told = told + codebook[draw_one(logits, generator, sampling)]
            return told

        return self.within.unroll(past, previous, draw, generator, sampling)

    def _encode(self, innovations: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of innovations, and what the stages before each had told.

        Shape:
            (..., size) -> (stages, ...), (stages, ..., size)
        """
        with torch.autocast(innovations.device.type, enabled=False), torch.no_grad():
            told, codes, before = torch.zeros_like(innovations), [], []
            for codebook in self.codebooks:
                before.append(told)
                nearest = (codebook.square().sum(-1) - 2 * (innovations - told) @ codebook.T).argmin(-1)
                told = told + codebook[nearest]
                codes.append(nearest)
            return torch.stack(codes), torch.stack(before)

    def _logits(self, guides: Tensor, told: Tensor, stages: slice = slice(None)) -> Tensor:
        """(n, guide), (stages, n, size) -> (stages, n, codes)."""
        x = self.lead(guides.expand(len(told), *guides.shape), stages) + self.hear_told(told, stages)
        x = x + F.silu(self.deep(F.silu(x), stages))
        logits: Tensor = self.leave(F.silu(x), stages)
        return logits


class _Stages(nn.Module):
    """A dense layer for each stage, all in one product."""

    def __init__(self, stages: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(stages, n_in, n_out) * n_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(stages, 1, n_out))

    def forward(self, x: Tensor, stages: slice) -> Tensor:
        """(stages, n, n_in) -> (stages, n, n_out)."""
        y: Tensor = torch.baddbmm(self.bias[stages].to(x.dtype), x, self.weight[stages].to(x.dtype))
        return y
