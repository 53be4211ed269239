"""The softmax head: a residual as probabilities of codes, from which one is sampled.

A residual is quantised in stages (residual vector quantisation; Juang & Gray 1982, Zeghidour et al. 2021): the first
code names the entry of a codebook that is nearest to it, each further one the entry nearest to what is left over. Each
stage has a network of its own that reads what the stages before it have named (Lee et al., "Autoregressive Image
Generation using Residual Quantization", 2022).
"""

import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.config import CodesSettings, Sampling
from pipeline.errors import SettingsError
from pipeline.models.base import Head
from pipeline.models.sampling import sample

N_ROUNDS = 12  # of k-means
PER_CODE = 64  # residuals that k-means looks at for each code; more change little


class Codes(Head):
    """Conditioning -> codes of a slice's residual, one sampled after the other; the loss is in nats a code."""

    codebooks: Tensor  # (stages, codes, dims)
    shares: Tensor  # (stages, codes): how often each code comes

    sampled_by = ("sound_temperature",)

    def __init__(self, settings: CodesSettings, conditioning: int, dims: int) -> None:
        super().__init__()
        stages, n_codes, inner = settings.codebooks, settings.codes, settings.code_width
        self.from_conditioning = _Stages(stages, conditioning, inner)
        self.from_named = _Stages(stages, dims, inner)
        self.deep = _Stages(stages, inner, inner)
        self.leave = _Stages(stages, inner, n_codes)
        nn.init.zeros_(self.leave.weight)
        self.register_buffer("codebooks", torch.zeros(stages, n_codes, dims))
        self.register_buffer("shares", torch.full((stages, n_codes), 1 / n_codes))

    def fit(self, targets: Tensor) -> None:
        """Learn the codebooks: k-means (Lloyd 1982) of residuals spread evenly over the training split.

        Raises:
            SettingsError: there are fewer residuals than codes.
        """
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        n_codes = self.codebooks.shape[1]
        if len(targets) < n_codes:
            raise SettingsError(
                f"codes must be at most {len(targets)}, the corpus's slices of 50 ms, and not {n_codes}"
            )
        left = targets[:: -(-len(targets) // (n_codes * PER_CODE))].numpy()
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

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        """The mean cross-entropy of a code."""
        codes, named = self._encode(targets)
        logits = self._logits(conditioning, named)
        return F.cross_entropy(logits.float().flatten(0, 1), codes.flatten())

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The cross-entropy if codes came as often as in training, and if a share of slices, the best one, were
        repeated.
        """
        codes, _ = self._encode(targets)
        repeated, _ = self._encode(previous)
        chance = self.shares.gather(1, codes)  # (stages, n)
        stays = (codes == repeated).float()
        often = stays.mean(1, keepdim=True)
        again = -(often * stays + (1 - often) * chance).log().mean()
        return {"mean": -chance.log().mean(), "repeat": again}

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        """See `Head.sampler`; a slice is drawn code after code."""
        of_sound = Sampling(temperature=sampling.sound_temperature)

        def draw(conditioning: Tensor) -> Tensor:
            named = torch.zeros(len(conditioning), self.codebooks.shape[2], device=conditioning.device)
            for stage, codebook in enumerate(self.codebooks):
                logits = self._logits(conditioning, named[None], slice(stage, stage + 1))[0]
                named = named + codebook[sample(logits, generator, of_sound)]
            return named

        return draw

    def _encode(self, residuals: Tensor) -> tuple[Tensor, Tensor]:
        """The codes of residuals, and what the stages before each had named.

        Shape:
            (n, dims) -> (stages, n), (stages, n, dims)
        """
        with torch.autocast(residuals.device.type, enabled=False), torch.no_grad():
            named, codes, before = torch.zeros_like(residuals), [], []
            for codebook in self.codebooks:
                before.append(named)
                nearest = (codebook.square().sum(-1) - 2 * (residuals - named) @ codebook.T).argmin(-1)
                named = named + codebook[nearest]
                codes.append(nearest)
            return torch.stack(codes), torch.stack(before)

    def _logits(self, conditioning: Tensor, named: Tensor, stages: slice = slice(None)) -> Tensor:
        """(n, conditioning), (stages, n, dims) -> (stages, n, codes)."""
        x = self.from_conditioning(conditioning.expand(len(named), *conditioning.shape), stages)
        x = x + self.from_named(named, stages)
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
