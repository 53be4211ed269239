"""The density head: flow matching from noise to a frame.

Lipman et al., "Flow Matching for Generative Modeling" (2023). At an angle a the frame u, in units of its standard
deviations, and noise n mix to x = cos(a) n + sin(a) u, whose velocity is cos(a) u - sin(a) n. A network learns the
expected velocity at x; sampling integrates it from noise at 0 to a frame at pi / 2 (Lu & Song, "Simplifying,
Stabilizing and Scaling Continuous-Time Consistency Models", 2024). For a standard normal frame the expected velocity is
zero everywhere, and a fresh network predicts zero.

A small network for every frame, conditioned on a recurrent one, follows Li et al., "Autoregressive Image Generation
without Vector Quantization" (2024).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.config import FlowSettings, Sampling
from pipeline.models.base import Head

N_WAVES, TIME_WIDTH = 32, 256  # frequencies of the time embedding, and units of the layer behind it
LOG_MEAN, LOG_STD = -1.0, 1.3  # mean and standard deviation of the log signal-to-noise ratio, log tan(a), in training


class Flow(Head):
    """Conditioning vector -> frame.

    The loss evaluates each frame at `flow_times` times. In validation the times and the noise are the same in every
    call.
    """

    std: Tensor  # (dims,): of the frames

    sampled_by = ("sound_temperature",)

    def __init__(self, settings: FlowSettings, conditioning: int, dims: int) -> None:
        super().__init__()
        self.settings = settings
        self.dims = dims
        self.velocity = _Velocity(conditioning, dims, settings.flow_width, settings.flow_depth)
        self.register_buffer("std", torch.ones(dims))

    def fit(self, targets: Tensor) -> None:
        """Fit the standard deviations of frames."""
        self.std.copy_(targets.std(0).clamp(min=1e-4))

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        """Return the mean squared error of the velocity, each dimension weighted by its variance; initially about 1."""
        units, projected = targets / self.std, self.velocity.project(conditioning)
        generator = None if self.training else torch.Generator(targets.device).manual_seed(0)
        return torch.stack([self._error(units, projected, generator) for _ in range(self.settings.flow_times)]).mean()

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the loss of a normal distribution around the mean, and of one around the previous frame.

        For u of variance v the best velocity is linear in x, and its mean squared error is
        v / (cos(a)^2 + sin(a)^2 v). The variances are those of these targets, which favours the baselines.
        """
        angles = angle_at((torch.arange(1024, device=targets.device)[:, None] + 0.5) / 1024)

        def of(guesses: Tensor) -> Tensor:
            variance = ((targets - guesses) / self.std).square().mean(0)
            return (self._weights * variance / (angles.cos().square() + angles.sin().square() * variance)).mean()

        return {"mean": of(torch.zeros_like(targets)), "repeat": of(previous)}

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        """See `Head.sampler`; `sound_temperature` scales the initial noise.

        The solver is the two-step Adams-Bashforth method at equally spaced angles. Euler's method follows the circle
        along its tangents: the variance of its samples is too large, and a roll-out reads them.
        """
        angles = torch.linspace(0, math.pi / 2, self.settings.flow_steps + 1, device=self.std.device)
        times, step = self.velocity.embed(time_at(angles[:-1])), math.pi / 2 / self.settings.flow_steps

        def sample_frame(conditioning: Tensor) -> Tensor:
            projected, size = self.velocity.project(conditioning), (len(conditioning), self.dims)
            x = torch.randn(size, generator=generator, device=conditioning.device) * sampling.sound_temperature
            before = None
            for time in times:
                velocity = self.velocity(x, time, projected)
                x = x + step * (velocity if before is None else 1.5 * velocity - 0.5 * before)
                before = velocity
            return x * self.std

        return sample_frame

    def _error(self, units: Tensor, projected: Tensor, generator: Generator | None) -> Tensor:
        n, device = len(units), units.device
        offset = torch.rand(1, device=device) if self.training else 0.5
        times = (torch.randperm(n, generator=generator, device=device) + offset) / n  # (n,): equally spaced
        noise = torch.randn(units.shape, generator=generator, device=device)
        cosine, sine = angle_at(times).cos()[:, None], angle_at(times).sin()[:, None]
        velocity = self.velocity(cosine * noise + sine * units, self.velocity.embed(times), projected)
        error: Tensor = self._weights * (velocity - (cosine * units - sine * noise)).square()
        return error.mean()

    @property
    def _weights(self) -> Tensor:
        """Weight dimensions by their variances."""
        variances = self.std.square()
        return variances / variances.mean()


def angle_at(times: Tensor) -> Tensor:
    """Return the angle of a time: 0 at time 0, pi / 2 at time 1; uniform times give log-normal tangents."""
    angles: Tensor = (LOG_MEAN + LOG_STD * torch.special.ndtri(times)).exp().atan()
    return angles


def time_at(angles: Tensor) -> Tensor:
    """Return the time of an angle. The inverse of `angle_at`."""
    times: Tensor = torch.special.ndtr((angles.tan().log() - LOG_MEAN) / LOG_STD)
    return times


class _Velocity(nn.Module):
    """A residual network over one frame; the time scales, shifts and gates its layers, the conditioning shifts them."""

    frequencies: Tensor  # (N_WAVES,): of the time embedding

    def __init__(self, conditioning: int, dims: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.input = nn.Linear(dims, width)
        self.from_conditioning = nn.Linear(conditioning, (depth + 1) * width)
        self.time = nn.Sequential(
            nn.Linear(2 * N_WAVES, TIME_WIDTH), nn.SiLU(), nn.Linear(TIME_WIDTH, (3 * depth + 2) * width)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.output = nn.Linear(width, dims)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("frequencies", torch.exp(torch.linspace(0, math.log(1000), N_WAVES)), persistent=False)

    def embed(self, times: Tensor) -> Tensor:
        """Embed times; (...) -> (..., (3 * depth + 2) * width)."""
        angle = times[..., None] * self.frequencies
        embedded: Tensor = self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        return embedded

    def project(self, conditioning: Tensor) -> Tensor:
        """Project the conditioning for each layer; (n, size) -> (n, (depth + 1) * width)."""
        projected: Tensor = self.from_conditioning(conditioning)
        return projected

    def forward(self, x: Tensor, time: Tensor, conditioning: Tensor) -> Tensor:
        """Return the velocity at x.

        Shape:
            x (n, dims), time from `embed`, conditioning from `project` -> (n, dims)
        """
        times, shifts = time.chunk(3 * self.depth + 2, -1), conditioning.chunk(self.depth + 1, -1)
        x = self.input(x) + shifts[-1]
        for n, layer in enumerate(self.layers):
            scale, shift, gate = times[3 * n : 3 * n + 3]
            x = x + gate * layer(self.norm(x) * (1 + scale) + (shift + shifts[n]))
        velocity: Tensor = self.output(F.silu(self.norm(x) * (1 + times[-2]) + times[-1]))
        return velocity
