"""The density head: flow matching. It draws a residual from noise.

Lipman et al., "Flow Matching for Generative Modeling" (2023). A residual in units of its deviations, u, and noise n are
mixed at an angle a: x = cos(a) n + sin(a) u, which moves by the velocity cos(a) u - sin(a) n an angle. A network learns
the velocity that is to be expected at x; sampling follows it from noise at 0 to a residual at pi / 2 (Lu & Song,
"Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models", 2024). If residuals were normal and nothing
were known of them it would be zero everywhere: that is where a fresh network, which is silent, begins.

A small network for every slice, conditioned on a recurrent one, is the way of Li et al., "Autoregressive Image
Generation without Vector Quantization" (2024).
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.config import FlowSettings, Sampling
from pipeline.models.base import Head

N_WAVES, TIME_WIDTH = 32, 256  # sines of the time that the network reads, and units of the layer behind them
LOG_SIGNAL, DEVIATION = -1.0, 1.3  # mean and deviation of the log of signal over noise, tan(a), at which it learns


class Flow(Head):
    """Conditioning -> residual of a slice.

    Training and validation look at each slice at `moments` times. In validation times and noise are the same at every
    call.
    """

    deviation: Tensor  # (dims,)

    sampled_by = ("sound_temperature",)

    def __init__(self, settings: FlowSettings, conditioning: int, dims: int) -> None:
        super().__init__()
        self.settings = settings
        self.dims = dims
        self.velocity = _Velocity(conditioning, dims, settings.flow_width, settings.flow_depth)
        self.register_buffer("deviation", torch.ones(dims))

    def fit(self, targets: Tensor) -> None:
        """Learn how far residuals deviate."""
        self.deviation.copy_(targets.std(0).clamp(min=1e-4))

    def loss(self, conditioning: Tensor, targets: Tensor) -> Tensor:
        """The mean squared error of the velocity, each number weighted by its variance; about 1 at first."""
        units, guided = targets / self.deviation, self.velocity.conditioned(conditioning)
        generator = None if self.training else torch.Generator(targets.device).manual_seed(0)
        return torch.stack([self._error(units, guided, generator) for _ in range(self.settings.moments)]).mean()

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of a normal distribution around the mean, and of one around the slice before.

        For u of variance v the best velocity is linear in x, and its mean squared error is
        v / (cos(a)^2 + sin(a)^2 v). The variances are those of these targets, which flatters both.
        """
        angles = angle_at((torch.arange(1024, device=targets.device)[:, None] + 0.5) / 1024)

        def of(guesses: Tensor) -> Tensor:
            variance = ((targets - guesses) / self.deviation).square().mean(0)
            return (self._weights * variance / (angles.cos().square() + angles.sin().square() * variance)).mean()

        return {"mean": of(torch.zeros_like(targets)), "repeat": of(previous)}

    def sampler(self, generator: Generator, sampling: Sampling) -> Callable[[Tensor], Tensor]:
        """See `Head.sampler`; `sound_temperature` scales the noise that a slice comes from.

        By the two-step method of Adams and Bashforth, at evenly spread angles. Euler's would follow the circle along
        its tangents: its samples are too wide, most where most is known, and a roll-out reads them.
        """
        angles = torch.linspace(0, math.pi / 2, self.settings.flow_steps + 1, device=self.deviation.device)
        times, step = self.velocity.at(time_at(angles[:-1])), math.pi / 2 / self.settings.flow_steps

        def draw(conditioning: Tensor) -> Tensor:
            guided, size = self.velocity.conditioned(conditioning), (len(conditioning), self.dims)
            x = torch.randn(size, generator=generator, device=conditioning.device) * sampling.sound_temperature
            before = None
            for time in times:
                velocity = self.velocity(x, time, guided)
                x = x + step * (velocity if before is None else 1.5 * velocity - 0.5 * before)
                before = velocity
            return x * self.deviation

        return draw

    def _error(self, units: Tensor, guided: Tensor, generator: Generator | None) -> Tensor:
        n, device = len(units), units.device
        offset = torch.rand(1, device=device) if self.training else 0.5
        times = (torch.randperm(n, generator=generator, device=device) + offset) / n  # (n,): spread evenly
        noise = torch.randn(units.shape, generator=generator, device=device)
        cosine, sine = angle_at(times).cos()[:, None], angle_at(times).sin()[:, None]
        velocity = self.velocity(cosine * noise + sine * units, self.velocity.at(times), guided)
        error: Tensor = self._weights * (velocity - (cosine * units - sine * noise)).square()
        return error.mean()

    @property
    def _weights(self) -> Tensor:
        """A residual's numbers count as much as they are large, not alike."""
        variances = self.deviation.square()
        return variances / variances.mean()


def angle_at(times: Tensor) -> Tensor:
    """How far a flow has turned: 0 at time 0, pi / 2 at time 1; evenly spread times look where it is decided."""
    angles: Tensor = (LOG_SIGNAL + DEVIATION * torch.special.ndtri(times)).exp().atan()
    return angles


def time_at(angles: Tensor) -> Tensor:
    """When a flow has turned so far. The inverse of `angle_at`."""
    times: Tensor = torch.special.ndtr((angles.tan().log() - LOG_SIGNAL) / DEVIATION)
    return times


class _Velocity(nn.Module):
    """A residual network over one slice; time scales, shifts and gates its layers, the conditioning shifts them."""

    waves: Tensor

    def __init__(self, conditioning: int, dims: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        self.enter = nn.Linear(dims, width)
        self.guide = nn.Linear(conditioning, (depth + 1) * width)
        self.time = nn.Sequential(
            nn.Linear(2 * N_WAVES, TIME_WIDTH), nn.SiLU(), nn.Linear(TIME_WIDTH, (3 * depth + 2) * width)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = nn.Linear(width, dims)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("waves", torch.exp(torch.linspace(0, math.log(1000), N_WAVES)), persistent=False)

    def at(self, times: Tensor) -> Tensor:
        """Times as the layers read them; (...) -> (..., (3 * depth + 2) * width)."""
        angle = times[..., None] * self.waves
        embedded: Tensor = self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        return embedded

    def conditioned(self, conditioning: Tensor) -> Tensor:
        """The conditioning as the layers read it; (n, conditioning) -> (n, (depth + 1) * width)."""
        guided: Tensor = self.guide(conditioning)
        return guided

    def forward(self, x: Tensor, time: Tensor, guided: Tensor) -> Tensor:
        """The velocity at x.

        Shape:
            x (n, dims), time and guided as `at` and `conditioned` give them -> (n, dims)
        """
        times, guides = time.chunk(3 * self.depth + 2, -1), guided.chunk(self.depth + 1, -1)
        x = self.enter(x) + guides[-1]
        for n, layer in enumerate(self.layers):
            scale, shift, gate = times[3 * n : 3 * n + 3]
            x = x + gate * layer(self.norm(x) * (1 + scale) + (shift + guides[n]))
        velocity: Tensor = self.leave(F.silu(self.norm(x) * (1 + times[-2]) + times[-1]))
        return velocity
