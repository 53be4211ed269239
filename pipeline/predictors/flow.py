"""The density head: flow matching. It draws the next element from noise, slice after slice.

Lipman et al., "Flow Matching for Generative Modeling" (2023), with straight paths: between noise n and a slice y lies
z = (1 - t) n + t y, and a network learns the velocity y - n from z, t and what came before. Drawing follows that
velocity from noise at t = 0 to a slice at t = 1. One such small network for every slice, led by a recurrent one that
has read the slices before it, is the way of Li et al., "Autoregressive Image Generation without Vector Quantization"
(2024).
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.predictors.base import Head, slices_of
from pipeline.predictors.within import Within
from pipeline.settings import FlowSettings, Sampling

N_WAVES = 32  # in which the network is told the time


class Flow(Head):
    """LSTM's state -> slices of the next block, one drawn after the other.

    Training and validation look at each slice at `moments` times t. In validation times and noise are the same at
    every call, so losses compare.
    """

    drawn_by = ("temperature",)

    def __init__(self, settings: FlowSettings, width: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.settings = settings
        self.shape = shape
        self.within = Within(width, settings.guide, shape, settings.feedback_noise)
        self.velocity = _Velocity(settings.guide, shape[1], settings.flow_width, settings.flow_depth)

    def loss(self, outputs: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
        """The mean squared error of the velocity.

        Shape:
            (n, width), (n, dim), (n, dim) -> ()
        """
        slices = slices_of(targets, self.shape)
        guide = self.velocity.led_by(self.within(outputs, previous, targets))
        generator = None if self.training else torch.Generator(targets.device).manual_seed(0)
        errors = [self._error(slices, guide, generator) for _ in range(self.settings.moments)]
        return torch.stack(errors).mean()

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of a normal distribution around the mean, and of one around the slice before.

        For y of variance s the best velocity is linear in z, and its mean squared error is
        s + 1 - (t s - (1 - t))^2 / (t^2 s + (1 - t)^2). The variances are those of these targets, which flatters both.
        """
        slices = slices_of(targets, self.shape)
        before = self.within.before(previous, targets)
        t = _times(1024, None, targets.device, spread=False)[:, None, None]

        def of(variance: Tensor) -> Tensor:
            explained = (t * variance - (1 - t)).square() / (t.square() * variance + (1 - t).square())
            return (variance + 1 - explained).mean()

        return {"mean": of(slices.square().mean(0)), "repeat": of((slices - before).square().mean(0))}

    def draw(self, outputs: Tensor, previous: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """Draw the next block; `temperature` scales the noise that it is drawn from.

        Shape:
            (n_clips, width), (n_clips, dim) -> (n_clips, dim)
        """
        n_steps = self.settings.draw_steps
        moments = self.velocity.at(torch.arange(n_steps, device=outputs.device) / n_steps)
        drawn: list[Tensor] = []
        for guide in self.within.one_by_one(outputs, previous, drawn):
            led = self.velocity.led_by(guide)
            noise = torch.randn(len(outputs), self.shape[1], generator=generator, device=outputs.device)
            z = noise * sampling.temperature
            for moment in moments:
                z = z + self.velocity(z, moment, led) / n_steps
            drawn.append(z)
        return torch.cat(drawn, dim=-1)

    def _error(self, slices: Tensor, led: Tensor, generator: Generator | None) -> Tensor:
        t = _times(len(slices), generator, slices.device, spread=self.training)[:, None]  # (n, 1): of a block
        noise = torch.randn(slices.shape, generator=generator, device=slices.device)
        z = torch.lerp(noise, slices, t[..., None])
        velocity = self.velocity(z, self.velocity.at(t), led)
        return F.mse_loss(velocity.float(), slices - noise)


class _Velocity(nn.Module):
    """A residual network over one slice; time scales, shifts and gates its layers, the guide shifts them."""

    waves: Tensor

    def __init__(self, guide: int, size: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth, self.width = depth, width
        self.enter = nn.Linear(size, width)
        self.lead = nn.Linear(guide, (depth + 1) * width)
        self.time = nn.Sequential(nn.Linear(2 * N_WAVES, 256), nn.SiLU(), nn.Linear(256, (3 * depth + 2) * width))
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.leave = nn.Linear(width, size)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.register_buffer("waves", torch.exp(torch.linspace(0, math.log(1000), N_WAVES)), persistent=False)

    def at(self, t: Tensor) -> Tensor:
        """What the layers are told of the time; (...) -> (..., (3 * depth + 2) * width)."""
        angle = t[..., None] * self.waves
        told: Tensor = self.time(torch.cat([angle.sin(), angle.cos()], dim=-1))
        return told

    def led_by(self, guide: Tensor) -> Tensor:
        """What the layers are told of the past; (..., guide) -> (..., (depth + 1) * width)."""
        told: Tensor = self.lead(guide)
        return told

    def forward(self, z: Tensor, time: Tensor, led: Tensor) -> Tensor:
        """The velocity at z.

        Shape:
            z (..., size), time and led as `at` and `led_by` give them -> (..., size)
        """
        times, leads = time.chunk(3 * self.depth + 2, -1), led.chunk(self.depth + 1, -1)
        x = self.enter(z) + leads[-1]
        for n, layer in enumerate(self.layers):
            scale, shift, gate = times[3 * n : 3 * n + 3]
            x = x + gate * layer(self.norm(x) * (1 + scale) + (shift + leads[n]))
        velocity: Tensor = self.leave(F.silu(self.norm(x) * (1 + times[-2]) + times[-1]))
        return velocity


def _times(n: int, generator: Generator | None, device: torch.device, *, spread: bool) -> Tensor:
    """n times in (0, 1), in random order: evenly, or `spread` as a logit-normal (Esser et al. 2024)."""
    offset = torch.rand(1, device=device) if spread else 0.5
    share = (torch.randperm(n, generator=generator, device=device) + offset) / n
    return torch.sigmoid(torch.special.ndtri(share.clamp(1e-3, 1 - 1e-3))) if spread else share
