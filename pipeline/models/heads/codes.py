"""The softmax head: a frame as codes of several codebooks, sampled one after the other.

Residual vector quantisation (Juang & Gray 1982, Zeghidour et al. 2021): the first codebook's code names the entry
nearest to the frame, each further one the entry nearest to the remaining residual. Each codebook has its own network,
which reads the sum of the entries that the previous codes name (Lee et al., "Autoregressive Image Generation using
Residual Quantization", 2022).
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
PER_CODE = 64  # frames that k-means reads for each code; more change little


class Codes(Head):
    """Conditioning vector -> codes of a frame; the loss is in nats a code."""

    codebooks: Tensor  # (n_codebooks, n_codes, dims)
    frequencies: Tensor  # (n_codebooks, n_codes): relative, of each code

    sampled_by = ("sound_temperature",)

    def __init__(self, settings: CodesSettings, conditioning: int, dims: int) -> None:
        super().__init__()
        n_codebooks, n_codes, width = settings.codebooks, settings.codes, settings.code_width
        self.from_conditioning = _Linears(n_codebooks, conditioning, width)
        self.from_previous = _Linears(n_codebooks, dims, width)
        self.deep = _Linears(n_codebooks, width, width)
        self.output = _Linears(n_codebooks, width, n_codes)
        nn.init.zeros_(self.output.weight)
        self.register_buffer("codebooks", torch.zeros(n_codebooks, n_codes, dims))
        self.register_buffer("frequencies", torch.full((n_codebooks, n_codes), 1 / n_codes))

    def fit(self, targets: Tensor) -> None:
        """Fit the codebooks by k-means (Lloyd 1982) on frames spread evenly over the training split.

        Raises:
            SettingsError: there are fewer frames than codes.
        """
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        n_codes = self.codebooks.shape[1]
        if len(targets) < n_codes:
            raise SettingsError(
                f"codes must be at most {len(targets)}, the corpus's frames of 50 ms, and not {n_codes}"
            )
        residuals = targets[:: -(-len(targets) // (n_codes * PER_CODE))].numpy()
        for codebook, frequencies in zip(self.codebooks, self.frequencies, strict=True):
            means = KMeans(n_codes, init="random", n_init=1, max_iter=N_ROUNDS, tol=0.0, random_state=0)
            with warnings.catch_warnings():  # where frames repeat, as silence does, entries may stay unused
                warnings.simplefilter("ignore", ConvergenceWarning)
                means.fit(residuals)
            residuals = residuals - means.cluster_centers_[means.labels_]
            codebook.copy_(torch.from_numpy(means.cluster_centers_))
            counts = torch.bincount(torch.from_numpy(means.labels_), minlength=n_codes) + 1.0  # no code is impossible
            frequencies.copy_(counts / counts.sum())
        with torch.no_grad():
            self.output.bias.copy_(self.frequencies.log()[:, None])  # training starts at a skill of 0

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of a code."""
        codes, previous = self._encode(targets)
        logits = self._logits(conditioning, previous)
        return F.cross_entropy(logits.float().flatten(0, 1), codes.flatten())

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of the codes' frequencies, and that of the best mixture with a repetition."""
        codes, _ = self._encode(targets)
        repeated, _ = self._encode(previous)
        chance = self.frequencies.gather(1, codes)  # (n_codebooks, n)
        hit = (codes == repeated).float()
        share = hit.mean(1, keepdim=True)
        repeat = -(share * hit + (1 - share) * chance).log().mean()
        return {"mean": -chance.log().mean(), "repeat": repeat}

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        """See `Head.sampler`; it samples one code after the other."""
        of_sound = Sampling(temperature=sampling.sound_temperature)

        def sample_frame(conditioning: Tensor) -> Tensor:
            frame = torch.zeros(len(conditioning), self.codebooks.shape[2], device=conditioning.device)
            for n, codebook in enumerate(self.codebooks):
                logits = self._logits(conditioning, frame[None], slice(n, n + 1))[0]
                frame = frame + codebook[sample(logits, generator, of_sound)]
            return frame

        return sample_frame

    def _encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Quantise frames: return their codes, and the sum of the entries before each code.

        Shape:
            (n, dims) -> (n_codebooks, n), (n_codebooks, n, dims)
        """
        with torch.autocast(frames.device.type, enabled=False), torch.no_grad():
            sum_, codes, previous = torch.zeros_like(frames), [], []
            for codebook in self.codebooks:
                previous.append(sum_)
                nearest = (codebook.square().sum(-1) - 2 * (frames - sum_) @ codebook.T).argmin(-1)
                sum_ = sum_ + codebook[nearest]
                codes.append(nearest)
            return torch.stack(codes), torch.stack(previous)

    def _logits(self, conditioning: Tensor, previous: Tensor, codebooks: slice = slice(None)) -> Tensor:
        """Return the logits of codes; (n, size), (n_codebooks, n, dims) -> (n_codebooks, n, n_codes)."""
        x = self.from_conditioning(conditioning.expand(len(previous), *conditioning.shape), codebooks)
        x = x + self.from_previous(previous, codebooks)
        x = x + F.silu(self.deep(F.silu(x), codebooks))
        logits: Tensor = self.output(F.silu(x), codebooks)
        return logits


class _Linears(nn.Module):
    """A linear layer for each codebook, all in one product."""

    def __init__(self, n: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n, n_in, n_out) * n_in**-0.5)
        self.bias = nn.Parameter(torch.zeros(n, 1, n_out))

    def forward(self, x: Tensor, layers: slice) -> Tensor:
        """(n_codebooks, n, n_in) -> (n_codebooks, n, n_out)."""
        y: Tensor = torch.baddbmm(self.bias[layers].to(x.dtype), x, self.weight[layers].to(x.dtype))
        return y
