"""The density head: flow matching. It draws what is new in the next element from noise, slice after slice.

Lipman et al., "Flow Matching for Generative Modeling" (2023). An innovation in units of its deviations, u, and noise n
are mixed at an angle a: x = cos(a) n + sin(a) u, which turns by cos(a) u - sin(a) n an angle. A network learns the turn
that is to be expected at x; drawing follows it from noise at 0 to an innovation at pi / 2 (Lu & Song, "Simplifying,
Stabilizing and Scaling Continuous-Time Consistency Models", 2024). If innovations were normal it would be zero
everywhere, so a fresh network, which is silent, draws by linear prediction.

A small network for every slice, led by a recurrent one that has read the slices before it, is the way of Li et al.,
"Autoregressive Image Generation without Vector Quantization" (2024).
"""

import math
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from pipeline.elements import Shape
from pipeline.predictors.base import Head
from pipeline.predictors.within import Within
from pipeline.settings import FlowSettings, Sampling

N_WAVES, TIME_WIDTH = 32, 256  # in which the network is told the time, and units of the layer that hears it
SIGNAL, SPREAD = -1.0, 1.3  # mean and deviation of the log of signal over noise, tan(a), at which the network learns


class Flow(Head):
    """LSTM's state -> slices of the next block, one drawn after the other.

    Training and validation look at each slice at `moments` times. In validation times and noise are the same at every
    call.
    """

    drawn_by = ("temperature", "top_k", "top_p")

    def __init__(self, settings: FlowSettings, width: int, shape: Shape) -> None:
        super().__init__()
        self.settings = settings
        self.shape = shape
        self.within = Within(width, settings.guide, shape, settings.feedback_noise)
        self.turn = _Turn(self.within.guide_size, shape.n_numbers, settings.flow_width, settings.flow_depth)

    def fit(self, elements: Iterable[Tensor]) -> None:
        """Fit the linear part."""
        self.within.fit(elements)

    def loss(self, past: Tensor, previous: Tensor, targets: Tensor) -> Tensor:
        """The mean squared error of the turn, in elements, about 1 for linear prediction, plus the keys' loss.

        Shape:
            (n, width), (n, dim), (n, dim) -> ()
        """
        guides, innovations, keys = self.within(past, previous, targets)
        led = self.turn.led_by(guides)
        generator = None if self.training else torch.Generator(targets.device).manual_seed(0)
        errors = [self._error(innovations / self._spread, led, generator) for _ in range(self.settings.moments)]
        loss: Tensor = torch.stack(errors).mean() + keys
        return loss

    def baselines(self, previous: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of a normal distribution around the mean, and of one around the slice before,
        plus `Keys.baselines`.

        For u of variance v the best turn is linear in x, and its mean squared error is v / (cos(a)^2 + sin(a)^2 v). The
        variances are those of these targets, which flatters both.
        """
        slices, before = self.within.neighbours(previous, targets)
        angles = angle_at((torch.arange(1024, device=targets.device)[:, None] + 0.5) / 1024)

        def of(guesses: Tensor) -> Tensor:
            left = self.shape.sound(slices - guesses) @ self.within.innovations.axes / self._spread
            variance = left.square().mean((0, 1))
            return (self._weights * variance / (angles.cos().square() + angles.sin().square() * variance)).mean()

        keys = self.within.keys.baselines(self.shape.keys(slices), self.shape.keys(before))
        return {"mean": of(torch.zeros_like(slices)) + keys["mean"], "repeat": of(before) + keys["repeat"]}

    def draw(self, past: Tensor, previous: Tensor, generator: Generator, sampling: Sampling) -> Tensor:
        """Draw the next block; keys are drawn as `sampling` says, and `temperature` scales the noise of their sound.

        Shape:
            (n_clips, width), (n_clips, dim) -> (n_clips, dim)
        """
        times = torch.linspace(0, 1, self.settings.draw_steps + 1, device=past.device)
        told, turned = self.turn.at(times[:-1]), angle_at(times).diff()

        def draw(guide: Tensor) -> Tensor:
            led = self.turn.led_by(guide)
            x = torch.randn(len(past), self.shape.n_numbers, generator=generator, device=past.device)
            x = x * sampling.temperature
            for time, angle in zip(told, turned, strict=True):
                x = x + angle * self.turn(x, time, led)
            return x * self._spread

        return self.within.unroll(past, previous, draw, generator, sampling)

    def _error(self, units: Tensor, led: Tensor, generator: Generator | None) -> Tensor:
        n, device = len(units), units.device
        offset = torch.rand(1, device=device) if self.training else 0.5
        times = (torch.randperm(n, generator=generator, device=device) + offset)[:, None] / n  # (n, 1): of a block
        noise = torch.randn(units.shape, generator=generator, device=device)
        cosine, sine = angle_at(times).cos()[..., None], angle_at(times).sin()[..., None]
        turn = self.turn(cosine * noise + sine * units, self.turn.at(times), led)
        error: Tensor = self._weights * (turn - (cosine * units - sine * noise)).square()
        return error.mean()

    @property
    def _spread(self) -> Tensor:
        return self.within.innovations.spread

    @property
    def _weights(self) -> Tensor:
        """An innovation's numbers count as they do in an element, not alike."""
        variances = self._spread.square()
        return variances / variances.mean()


def angle_at(times: Tensor) -> Tensor:
    """How far a flow has turned: 0 at time 0, pi / 2 at time 1; evenly spread times look where it is decided."""
    angles: Tensor = (SIGNAL + SPREAD * torch.special.ndtri(times)).exp().atan()
    return angles


class _Turn(nn.Module):
    """A residual network over one slice; time scales, shifts and gates its layers, the guide shifts them."""

    waves: Tensor

    def __init__(self, guide: int, size: int, width: int, depth: int) -> None:
        super().__init__()
        self.depth, self.width = depth, width
        self.enter = nn.Linear(size, width)
        self.lead = nn.Linear(guide, (depth + 1) * width)
        self.time = nn.Sequential(
            nn.Linear(2 * N_WAVES, TIME_WIDTH), nn.SiLU(), nn.Linear(TIME_WIDTH, (3 * depth + 2) * width)
        )
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

    def forward(self, x: Tensor, time: Tensor, led: Tensor) -> Tensor:
        """The turn at x.

        Shape:
            x (..., size), time and led as `at` and `led_by` give them -> (..., size)
        """
        times, leads = time.chunk(3 * self.depth + 2, -1), led.chunk(self.depth + 1, -1)
        x = self.enter(x) + leads[-1]
        for n, layer in enumerate(self.layers):
            scale, shift, gate = times[3 * n : 3 * n + 3]
            x = x + gate * layer(self.norm(x) * (1 + scale) + (shift + leads[n]))
        turn: Tensor = self.leave(F.silu(self.norm(x) * (1 + times[-2]) + times[-1]))
        return turn
